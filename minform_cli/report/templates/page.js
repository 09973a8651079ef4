"use strict";
// What a page can do beyond being read: tables are sorted, the variants of a study are highlighted and hidden wherever
// they stand, and points, curves and shaded cells say their numbers. The page is complete without any of it.
//
// What belongs to a variant carries its name in `data-row`: rows of tables, and the parts of pictures; what only goes
// with it when it is hidden, a panel of a picture or a cell of the variant's own column, in `data-panel`. What a part
// says is its <title> (in a table its `title`), which the tip here takes the place of; a curve's points are in
// `data-points`, one for each corner of its line.

const NEAR = 12; // how close to a curve the pointer must come, in pixels
const ABSENT = /^(-?|nan\b.*)$/; // a cell that says nothing
const FACTOR = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
const NUMBER = /^[[(<±]?\s*([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?:\s([kMGT])(?:B\b|$))?/;

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const made = (name, attributes = {}) => Object.assign(document.createElement(name), attributes);

const said = new Map(); // element -> what it says, the name of its variant in the first line
const corners = new Map(); // curve -> the corners of its line, in the picture's own units
const place = new Map(); // curve -> the number of the corner that was told last
const pinned = new Set(); // names of the variants that stay highlighted
let hovered = null; // the variant under the pointer
let focused = null; // the variant that the keyboard is at
let asked = null; // the element that the tip tells of
let toldAt = 0; // where the page was scrolled to then

const tip = made("div", { className: "tip", hidden: true });
tip.setAttribute("aria-hidden", "true"); // the elements' own labels say it to those who do not see it
const voice = made("div", { className: "unseen" });
voice.setAttribute("role", "status");
document.body.append(tip, voice);

// Sorting

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 2) return;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = made("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      for (const other of heads) other.removeAttribute("aria-sort");
      const next = { ascending: "descending", descending: null }[before];
      const order = next === undefined ? "ascending" : next;
      if (order) head.setAttribute("aria-sort", order);
      body.append(...(order ? sorted(original, column, order === "descending") : original));
    });
  });
}

function sorted(rows, column, falling) {
  const text = (row) => row.cells[column].textContent.trim();
  const there = rows.filter((row) => !ABSENT.test(text(row)));
  const numbers = new Map(there.map((row) => [row, number(text(row))]));
  const counts = there.every((row) => numbers.get(row) !== null);
  const compared = (a, b) =>
    counts ? numbers.get(a) - numbers.get(b) || 0 : text(a).localeCompare(text(b), "en", { numeric: true });
  const ordered = [...there].sort((a, b) => (falling ? compared(b, a) : compared(a, b)));
  return [...ordered, ...rows.filter((row) => !there.includes(row))]; // what is absent comes last, either way
}

// The number that a cell opens with; null if it is a text. "97.16 ± 0.57 (3)" is 97.16, "<0.001" a bit less than that.
function number(text) {
  if (/^[+-]?inf\b/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  const found = NUMBER.exec(text);
  if (!found) return null;
  const value = Number(found[1].replaceAll(",", "")) * (FACTOR[found[2]] ?? 1);
  return text.startsWith("<") ? value * (1 - 1e-9) : value;
}

// Highlighting

const nameOf = (element) => element?.closest("[data-row]")?.dataset.row ?? null;

function highlight() {
  const names = new Set(pinned);
  for (const name of [hovered, focused]) if (name !== null) names.add(name);
  document.body.classList.toggle("picked", names.size > 0);
  for (const element of all("[data-row]")) element.classList.toggle("on", names.has(element.dataset.row));
}

function hover(name) {
  if (name === hovered) return;
  hovered = name;
  highlight();
}

function pin(name) {
  if (!pinned.delete(name)) pinned.add(name);
  for (const element of all("[aria-pressed]")) element.setAttribute("aria-pressed", pinned.has(nameOf(element)));
  highlight();
}

// Hiding

function choose(chooser) {
  const boxes = all("input", chooser);
  const status = document.querySelector(".unshown");
  const update = () => {
    const names = boxes.filter((box) => !box.checked).map((box) => box.value);
    for (const part of all("[data-row]:not(label), [data-panel]")) {
      part.toggleAttribute("hidden", names.includes(part.dataset.row ?? part.dataset.panel));
    }
    status.textContent = names.length
      ? `Hidden: ${names.join(", ")}. Statistics, the Pareto front and the axes are those of all variants.`
      : "";
    silence();
    all("table, svg").forEach(reachable);
  };
  chooser.addEventListener("change", update);
  chooser.addEventListener("click", (event) => {
    const which = event.target.dataset.show;
    if (!which) return;
    for (const box of boxes) box.checked = which === "all";
    update();
  });
  chooser.hidden = false;
}

// Telling

function tell(element, text, x, y) {
  asked = element;
  tip.textContent = text;
  toldAt = scrollY;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(x - box.width / 2, 4), document.documentElement.clientWidth - box.width - 4);
  const top = y - box.height - 12 < 4 ? y + 16 : y - box.height - 12;
  tip.style.transform = `translate(${left}px, ${top}px)`;
}

function silence() {
  asked = null;
  tip.hidden = true;
  for (const dot of all(".dot")) dot.remove();
}

function tellOf(element) {
  const box = element.getBoundingClientRect();
  if (corners.has(element)) tellCorner(element, place.get(element) ?? corners.get(element).length - 1);
  else if (said.has(element)) tell(element, said.get(element), box.x + box.width / 2, box.y);
}

const pointsOf = (curve) => curve.dataset.points.split("|");

function tellCorner(curve, i) {
  const svg = curve.ownerSVGElement;
  const [x, y] = corners.get(curve)[i];
  const text = [...said.get(curve).split("\n").slice(0, -1), pointsOf(curve)[i]].join("\n");
  silence();
  place.set(curve, i);
  curve.setAttribute("aria-label", text.replaceAll("\n", ", "));
  const dot = document.createElementNS(svg.namespaceURI, "circle");
  for (const [key, value] of Object.entries({ class: "dot", cx: x, cy: y, r: 4 })) dot.setAttribute(key, value);
  svg.append(dot);
  const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
  tell(curve, text, at.x, at.y);
}

// Pictures

function talkative(svg) {
  for (const title of all("[data-row] > title", svg)) {
    const item = title.parentElement;
    said.set(item, title.textContent);
    title.remove();
    item.classList.add("item");
    item.setAttribute("role", "button");
    item.setAttribute("aria-pressed", "false");
    item.setAttribute("aria-label", said.get(item).replaceAll("\n", ", "));
    item.setAttribute("tabindex", "-1");
    if (item.dataset.points) follow(item);
  }
  if (!svg.querySelector(".item")) return;
  svg.setAttribute("role", "group"); // an image has no parts to go to
  svg.addEventListener("pointermove", (event) => look(svg, event));
  svg.addEventListener("pointerdown", (event) => look(svg, event));
  svg.addEventListener("click", (event) => {
    const name = hovered ?? nameOf(event.target);
    if (name !== null) pin(name);
  });
  reachable(svg);
}

// Finds the corners of a curve's line.
function follow(curve) {
  const path = curve.querySelector(":scope > path")?.getAttribute("d") ?? "";
  const found = [...path.matchAll(/[ML] (\S+) (\S+)/g)].map(([, x, y]) => [Number(x), Number(y)]);
  if (!found.length || found.length !== pointsOf(curve).length) return;
  corners.set(curve, found);
  curve.classList.add("curve");
}

// What is under the pointer, or the curve that it is close to.
function look(svg, event) {
  const item = event.target.closest(".item");
  const curve = item && !corners.has(item) ? null : nearest(svg, event);
  hover(curve ? nameOf(curve.element) : nameOf(event.target));
  if (curve) tellCorner(curve.element, curve.corner);
  else if (item) tell(item, said.get(item), event.clientX, event.clientY);
  else silence();
}

function nearest(svg, event) {
  const matrix = svg.getScreenCTM();
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
  let best = null;
  let least = NEAR / matrix.a;
  for (const [element, line] of corners) {
    if (element.ownerSVGElement !== svg || element.closest("[hidden]")) continue;
    const away = line.map(([x, y]) => Math.hypot(x - at.x, y - at.y));
    const beside = line.slice(1).map((end, i) => distance(at, line[i], end));
    const found = Math.min(...beside, ...away);
    if (found < least) [best, least] = [{ element, corner: away.indexOf(Math.min(...away)) }, found];
  }
  return best;
}

// From a point to the line between two others.
function distance(at, [x, y], [endX, endY]) {
  const [dx, dy] = [endX - x, endY - y];
  const share = Math.min(1, Math.max(0, ((at.x - x) * dx + (at.y - y) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(at.x - x - share * dx, at.y - y - share * dy);
}

// Tables of variants

function named(table) {
  for (const head of all("tr[data-row] > th[scope=row]", table)) {
    const button = made("button", { type: "button", className: "item", tabIndex: -1 });
    button.setAttribute("aria-pressed", "false");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => pin(nameOf(button)));
  }
  for (const cell of all("td[title]", table)) {
    said.set(cell, cell.title);
    cell.removeAttribute("title");
    cell.classList.add("item");
    cell.tabIndex = -1;
  }
  table.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td.item");
    if (cell) tellOf(cell);
  });
  reachable(table);
}

// The keyboard: Tab goes to a table or picture, arrow keys go on inside of it

const shown = (container) => all(".item", container).filter((item) => !item.closest("[hidden]"));

function reachable(container) {
  const items = shown(container);
  const current = items.find((item) => item.getAttribute("tabindex") === "0") ?? items[0];
  for (const item of all(".item", container)) item.setAttribute("tabindex", item === current ? "0" : "-1");
}

// Left and right go along a variant's own items, up and down to the next variant's, as all do where each has only one.
function neighbour(item, key) {
  const items = shown(item.closest("table, svg"));
  const lines = [...new Set(items.map(nameOf))].map((name) => items.filter((each) => nameOf(each) === name));
  const line = lines.find((each) => each.includes(item));
  const at = line.indexOf(item);
  const along = ["ArrowLeft", "ArrowRight"].includes(key) && lines.some((each) => each.length > 1);
  const step = ["ArrowLeft", "ArrowUp"].includes(key) ? -1 : 1;
  if (key === "Home") return line[0];
  if (key === "End") return line.at(-1);
  if (along) return line[at + step];
  const other = lines[lines.indexOf(line) + step];
  return other?.[Math.min(at, other.length - 1)];
}

function walk(event) {
  const item = event.target.closest(".item");
  if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
  if (!item || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
  event.preventDefault();
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const corner = corners.has(item) && step ? (place.get(item) ?? corners.get(item).length - 1) + step : -1;
  if (corners.get(item)?.[corner]) {
    tellCorner(item, corner);
    voice.textContent = pointsOf(item)[corner];
    return;
  }
  const next = neighbour(item, event.key);
  if (!next) return;
  if (corners.has(next) && step) place.set(next, step > 0 ? 0 : corners.get(next).length - 1);
  item.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}

function key(event) {
  walk(event);
  if (event.key === "Escape" && asked) silence();
  else if (event.key === "Escape") for (const name of [...pinned]) pin(name);
  const item = event.target.closest("svg .item");
  if (item && ["Enter", " "].includes(event.key)) {
    event.preventDefault();
    pin(nameOf(item));
  }
}

all("table.sorts").forEach(sortable);
all("table").forEach(named);
all("figure svg").forEach(talkative);
all(".chooser").forEach(choose);
document.addEventListener("keydown", key);
document.addEventListener("pointerover", (event) => {
  if (event.target.closest("svg")) return; // a picture looks for what is close to the pointer
  hover(nameOf(event.target));
  if (!event.target.closest("td.item") && asked !== document.activeElement) silence();
});
document.documentElement.addEventListener("pointerleave", () => {
  hover(null);
  if (asked !== document.activeElement) silence();
});
document.addEventListener("focusin", ({ target }) => {
  if (!target.matches(":focus-visible")) return;
  focused = nameOf(target);
  highlight();
  tellOf(target);
});
document.addEventListener("focusout", () => {
  focused = null;
  highlight();
  silence();
});
document.addEventListener("scroll", () => Math.abs(scrollY - toldAt) > NEAR && silence(), { passive: true });
