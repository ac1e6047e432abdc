// The data, and small helpers for elements and numbers. Names are data: they only ever become text.
const data = JSON.parse(document.getElementById("run-data").textContent);
const MISSING = "–";

const byId = (id) => document.getElementById(id);

/** An element; attributes as they are, children are elements or text. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** A button that does something. */
function button(text, action, attributes = {}) {
  const node = el("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", action);
  return node;
}

/** A number with fixed digits after its point. */
function fixed(value, digits, unit = "") {
  if (value === null || value === undefined) return MISSING;
  return value.toFixed(digits) + (unit ? `\u00a0${unit}` : "");
}

const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

/** A long name, shortened in the middle. */
function shortened(name, length = 36) {
  if (name.length <= length) return name;
  const characters = Array.from(name);
  if (characters.length <= length) return name;
  const head = Math.ceil((length - 1) / 2);
  return `${characters.slice(0, head).join("")}…${characters.slice(head + 1 - length).join("")}`;
}

/** Text for the labels of charts, which read some markup. */
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** Say something to screen readers. */
function announce(text) {
  byId("live").textContent = text;
}

/** Copy a text, or select it where the browser does not allow that. */
async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    announce("Selected: copy it with Ctrl+C.");
    return false;
  }
}
