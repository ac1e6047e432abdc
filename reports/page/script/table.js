// Tables of candidates: sorted by any column, filtered by text, walked and chosen by keyboard.
const PAGE = 100;

/** A column: how a row sorts, and how it reads. */
function axisColumn(axis) {
  const unit = axis.unit ? ` [${axis.unit}]` : "";
  return {
    title: axis.short + unit, isNumber: true, value: (row) => axis.values[row] ?? null,
    text: (row) => fixed(axis.values[row], axis.digits),
  };
}

const textColumn = (title, text) => ({ title, isNumber: false, value: text, text });

const numberColumn = (title, value, digits) => ({ title, isNumber: true, value, text: (row) => fixed(value(row), digits) });

function intervalColumn(title, key) {
  return { title, isNumber: true, value: (row) => axisOf[key].low[row] ?? null, text: (row) => interval(row, key) || MISSING };
}

/** A column that paper has no room for. */
const minor = (column) => ({ ...column, isMinor: true });

const classOf = (column) => (column.isNumber ? "right" : "left") + (column.isMinor ? " minor" : "");

class CandidateTable {
  constructor(id, pool, columns) {
    Object.assign(this, { box: byId(id), pool, columns, sortedBy: null, isRising: true, words: "", shown: PAGE, at: 0 });
    this.said = el("p", { class: "small", role: "status" });
    this.more = button("Show more", () => { this.shown += PAGE * 5; this.fill(); }, { class: "quiet" });
    const filter = el("input", { type: "search", placeholder: "Filter: words or bits", "aria-label": "Filter the rows" });
    filter.addEventListener("input", () => { this.words = filter.value.toLowerCase(); this.shown = PAGE; this.fill(); });
    this.body = el("tbody");
    this.heads = columns.map((column, index) => this.head(column, index));
    const caption = el("caption", { class: "unseen" }, "Choose a row with Enter, go up and down with the arrow keys.");
    const table = el("table", {}, caption, el("thead", {}, el("tr", {}, ...this.heads)), this.body);
    this.box.append(el("div", { class: "tools" }, filter, this.said), el("div", { class: "scroll" }, table), this.more);
    this.body.addEventListener("click", (event) => this.act(event.target));
    this.body.addEventListener("keydown", (event) => this.walk(event));
    watch(["chosen", "limits"], () => this.mark());
    this.texts = new Map();
    this.fill();
  }

  head(column, index) {
    const sort = button(column.title, () => this.sort(index), { class: "sort" });
    return el("th", { scope: "col", class: classOf(column), "aria-sort": "none" }, sort);
  }

  sort(index) {
    this.isRising = this.sortedBy === index ? !this.isRising : true;
    this.sortedBy = index;
    this.heads.forEach((head, at) => head.setAttribute(
      "aria-sort", at !== index ? "none" : this.isRising ? "ascending" : "descending"));
    this.fill();
  }

  textOf(row) {
    if (!this.texts.has(row)) {
      const cells = this.columns.map((column) => column.text(row));
      this.texts.set(row, [...cells, marksOf(row).join(" "), configText(row)].join(" ").toLowerCase());
    }
    return this.texts.get(row);
  }

  rowsShown() {
    const words = this.words.split(/\s+/).filter(Boolean);
    const found = words.length ? this.pool.filter((row) => words.every((word) => this.textOf(row).includes(word))) : this.pool;
    if (this.sortedBy === null) return found;
    const { value } = this.columns[this.sortedBy];
    const sign = this.isRising ? 1 : -1;
    return [...found].sort((a, b) => compared(value(a), value(b), sign) || a - b);
  }

  fill() {
    const found = this.rowsShown();
    const visible = found.slice(0, this.shown);
    this.at = Math.max(visible.indexOf(store.chosen), 0);
    this.body.replaceChildren(...visible.map((row) => this.row(row)));
    this.more.hidden = visible.length === found.length;
    const filtered = found.length < this.pool.length ? `${found.length} of ${counted(this.pool.length, "row")} match` : counted(found.length, "row");
    this.said.textContent = filtered + (visible.length < found.length ? `, the first ${visible.length} are here` : "");
    this.mark();
  }

  row(row) {
    const cells = this.columns.map((column) => {
      const text = column.text(row);
      const short = shortened(text, 60);
      return el("td", { class: classOf(column), title: short === text ? null : text }, short);
    });
    return el("tr", { "data-row": row, tabindex: -1 }, ...cells);
  }

  mark() {
    const isLimited = Object.keys(store.limits).length > 0;
    for (const [index, node] of [...this.body.children].entries()) {
      const row = Number(node.dataset.row);
      node.className = [
        row === data.picked && "picked", row === store.chosen && "chosen", !isDone(row) && "failed",
        isLimited && !isWithin(row) && "dimmed",
      ].filter(Boolean).join(" ");
      if (row === store.chosen) node.setAttribute("aria-current", "true");
      else node.removeAttribute("aria-current");
      node.tabIndex = index === this.at ? 0 : -1;
    }
  }

  act(target) {
    const node = target.closest("tr");
    if (!node) return;
    this.at = [...this.body.children].indexOf(node);
    choose(Number(node.dataset.row));
  }

  walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter") this.act(event.target);
    if (!step) return;
    event.preventDefault();
    const nodes = this.body.children;
    this.at = Math.min(Math.max([...nodes].indexOf(event.target.closest("tr")) + step, 0), nodes.length - 1);
    this.mark();
    nodes[this.at].focus();
  }
}

/** Order of two values; what is not known comes last either way. */
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
}

function setUpTables() {
  const costs = data.axes.filter((axis) => axis.better === "low");
  const isFirst = (axis) => axis.is_objective;
  const number = { title: "#", isNumber: true, value: (row) => all.number[row], text: (row) => String(all.number[row]) };
  const design = all.design.length ? [numberColumn("Design", (row) => (all.design[row] < 0 ? null : all.design[row]), 0)] : [];
  const mark = textColumn("Mark", (row) => marksOf(row).filter((word) => word !== "front").join(", "));
  const tested = "test_accuracy" in axisOf
    ? [axisColumn(axisOf.test_accuracy), intervalColumn("95 % of test", "test_accuracy"), minor(textColumn("Seeds", (row) => data.more[row].seeds || MISSING))] : [];
  const believed = "believed" in axisOf ? [axisColumn(axisOf.believed)] : [];
  new CandidateTable("front-table", data.front, [
    number, ...design, mark, ...costs.filter(isFirst).map(axisColumn),
    numberColumn("PTQ [%]", (row) => data.more[row].ptq, 2), numberColumn("QAT [%]", (row) => data.more[row].qat, 2),
    intervalColumn("95 %", "accuracy"), ...believed, ...tested,
    ...costs.filter((axis) => axis.in_front && !isFirst(axis)).map(axisColumn).map(minor),
    minor(textColumn("From", originOf)),
  ]);
  const failed = Object.keys(all.errors).length ? [textColumn("Error", (row) => all.errors[row] ?? "")] : [];
  const seconds = all.seconds.length ? [numberColumn("Time [s]", (row) => all.seconds[row], 2)] : [];
  new CandidateTable("all-table", rows, [
    number, ...design, textColumn("Stage", (row) => stageOf(row).toUpperCase()), textColumn("From", originOf),
    axisColumn(axisOf.accuracy), ...costs.map(axisColumn), ...seconds, textColumn("Key", (row) => all.key[row]), ...failed,
  ]);
}
