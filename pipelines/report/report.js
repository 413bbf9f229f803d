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
  fill("say", rates.say);
  fill("scale", rates.scale && `(scale of the intervals: ${rates.scale})`);
  carriers.tBodies[0].replaceChildren(...rows.map((one) => row(one, present.rows[one[0]], flags)));
  for (const head of carriers.querySelectorAll("[aria-sort]")) head.removeAttribute("aria-sort");
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
