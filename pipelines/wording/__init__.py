"""Sentences about the rows of the views, in plain text: what was found, how sure it is, and what can't be told.

The report, the notebooks and `pickups show` use the same functions, so that a number has one form and one meaning
everywhere. Each function takes rows as dicts with the columns of a view. A function that returns several sentences
begins with the finding, and returns none if there is nothing to say. A name from the data is never markup here, so
whoever renders a sentence must escape it.
"""
