"use strict";
// Shows the texts of another choice, sorts tables, and writes them as CSV. All texts come from the page's data, and are
// inserted as text. No number is computed here.
const RATE = ["name", "pickups", "rate", "span", "bar", "dot", "mean", "ratio", "ratiosay", "late", "latesay", "failed", "failedsay", "verdict", "figure", "figuresay"];
const PRESENT = ["change", "changesay", "spark", "sparksay"];
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.querySelector(".choices");
const carriers = document.querySelector("table.carriers");

function chosen(name) {
  const select = form.elements[name];
  return select ? Number(select.value) : 0;
}

function fill(name, text) {
  const place = document.querySelector(`[data-fill="${name}"]`);
  if (place) place.textContent = text;
}

function row(rate, present, flags) {
  const made = document.querySelector("template").content.firstElementChild.cloneNode(true);
  const values = {};
  RATE.forEach((name, place) => { values[name] = rate[place]; });
  PRESENT.forEach((name, place) => { values[name] = present ? present[place] : ""; });
  values.name = data.names[rate[0]];
  for (const cell of made.querySelectorAll("[data-cell]")) cell.textContent = values[cell.dataset.cell];
  for (const path of made.querySelectorAll("[data-path]")) path.setAttribute("d", values[path.dataset.path]);
  const carrier = data.options.carrier[rate[0] + 1];
  for (const code of made.querySelectorAll("[data-list]")) {
    code.textContent = ["pickups list", code.dataset.list, data.flags, ...flags, carrier].filter(Boolean).join(" ");
  }
  return made;
}

function show() {
  const [account, carrier, country, period] = ["account", "carrier", "country", "period"].map(chosen);
  const rates = data.rates[country][period][account] || { say: "No pickups in this selection.", scale: "", rate: ["–", ""], rows: [] };
  const present = data.present[country][account];
  const flags = [data.options.account[account], data.options.country[country], data.options.period[period]];
  const rows = carrier ? rates.rows.filter((one) => one[0] === carrier - 1) : rates.rows;
  const now = carrier ? present.rows[carrier - 1] : null;
  const figures = { rate: rates.rate, change: present.change, next: present.next, stuck: present.stuck };
  if (carrier) {
    figures.rate = rows.length ? rows[0].slice(-2) : ["–", "No pickups in this selection."];
    [figures.change, figures.next, figures.stuck] = [4, 6, 8].map((at) => now ? now.slice(at, at + 2) : ["–", "No pickups in this selection."]);
  }
  for (const [name, texts] of Object.entries(figures)) texts.forEach((text, place) => fill(`${name}.${place}`, text));
  for (const note of document.querySelectorAll(".period-note")) note.hidden = !period;
  fill("say", rates.say);
  fill("scale", rates.scale && `(scale of the intervals: ${rates.scale})`);
  carriers.tBodies[0].replaceChildren(...rows.map((one) => row(one, present.rows[one[0]], flags)));
  for (const head of document.querySelectorAll("[aria-sort]")) head.removeAttribute("aria-sort");
  for (const part of parts) showPart(part, { account, carrier, country, period });
}

// --- the sections below the table of carriers

const parts = [...document.querySelectorAll(".section")].map((element) => {
  const found = { element, ...data.sections[element.id], tables: [...element.querySelectorAll(".table")] };
  const rows = found.tables.map((one) => [...one.querySelector("tbody").rows].map((row) => [...row.cells].map((cell) => cell.textContent)));
  const left = found.tables.map((one) => Number(one.querySelector(".left span").textContent.replace(/,/g, "")));
  found.first = [element.querySelector(".finding").textContent, rows, left];
  return found;
});

// Shows what a section says about the choices. A choice that it can't follow is named in a note.
function showPart(part, choice) {
  const active = Object.keys(choice).filter((name) => choice[name]);
  const covered = part.follows.map((names) => active.filter((name) => names.includes(name)).length);
  const which = covered.indexOf(Math.max(...covered));
  const followed = part.follows[which];
  const others = active.filter((name) => !followed.includes(name)).map((name) => data.everything[name]);
  const isFirst = !covered[which];
  const nothing = [part.nothing, part.tables.map(() => []), part.tables.map(() => 0)];
  const answer = isFirst ? part.first : part.answers[[which, ...followed.map((name) => choice[name])].join(".")] || nothing;
  part.element.querySelector(".finding").textContent = answer[0];
  part.element.querySelector(".note").textContent = others.length ? data.note.replace("{}", others.join(", ")) : "";
  const picture = part.element.querySelector(".picture");
  picture.hidden = !isFirst;
  part.element.querySelector(".hidden-picture").textContent = isFirst || !picture.childElementCount ? "" : data.noPicture;
  part.tables.forEach((one, place) => fillTable(one, answer[1][place], answer[2][place]));
}

function fillTable(place, rows, left) {
  const table = place.querySelector("table");
  const heads = [...table.tHead.rows[0].cells];
  table.tBodies[0].replaceChildren(...rows.map((cells) => {
    const made = document.createElement("tr");
    cells.forEach((words, number) => {
      const cell = document.createElement(number ? "td" : "th");
      if (!number) cell.scope = "row";
      cell.className = heads[number].classList.contains("number") ? "number" : "text";
      cell.textContent = words;
      made.append(cell);
    });
    return made;
  }));
  place.querySelector(".none").hidden = rows.length > 0;
  place.querySelector(".scroll").hidden = !rows.length;
  place.querySelector(".left").hidden = !left;
  place.querySelector(".left span").textContent = left.toLocaleString("en");
}

function text(cell) {
  const place = cell.querySelector("button, [data-cell]:not(.say)");
  return (cell.querySelector(".spark") ? cell.querySelector(".say") : place || cell).textContent.trim();
}

function number(words) {
  const found = words.replace(/,/g, "").replace("\u2212", "-").match(/-?\d+(\.\d+)?/);
  const unit = words.includes(" days") ? 24 : 1;
  return found ? Number(found[0]) * unit : -Infinity;
}

function sort(head) {
  const table = head.closest("table");
  const place = head.cellIndex;
  const isNumber = head.classList.contains("number");
  const isDown = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : isNumber;
  const rows = [...table.tBodies[0].rows].map((one) => [text(one.cells[place]), one]);
  rows.sort(([a], [b]) => (isNumber ? number(a) - number(b) : a.localeCompare(b)) * (isDown ? -1 : 1));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  table.tBodies[0].append(...rows.map(([, one]) => one));
}

// A spreadsheet would evaluate a text that begins with one of these characters (pipelines/output.py has the same rule).
function csvCell(words) {
  if (/^[+\u2212-]?[\d,]+(\.\d+)?%?$/.test(words)) return words.replace("\u2212", "-").replace(/[+,]/g, "");
  const safe = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(words) ? `'${words}` : words;
  return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

function download(table) {
  const lines = [...table.rows].map((one) => [...one.cells].map((cell) => csvCell(text(cell))).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
  link.download = `${table.dataset.csv}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function showValue(event) {
  const point = event.target.closest(".point") || (event.type === "pointerover" && document.activeElement.closest(".point"));
  document.getElementById("value").textContent = point ? point.getAttribute("aria-label") : "";
}

function start() {
  form.hidden = !form.elements.length;
  form.reset();
  form.addEventListener("change", show);
  for (const head of document.querySelectorAll("table[data-csv] thead th")) {
    head.querySelector("button").addEventListener("click", () => sort(head));
  }
  for (const table of document.querySelectorAll("table[data-csv]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "csv";
    button.textContent = "Download as CSV";
    button.addEventListener("click", () => download(table));
    table.caption.append(" ", button);
  }
  const value = document.createElement("p");
  value.id = "value";
  document.body.append(value);
  for (const kind of ["focusin", "focusout", "pointerover"]) document.addEventListener(kind, showValue);
  const hours = (Date.now() - Date.parse(data.made)) / 3600000;
  if (hours > 24) document.getElementById("opened").textContent = `You are reading it ${Math.floor(hours / 24)} day${hours < 48 ? "" : "s"} after it was made.`;
}

start();
