// The candidates by row: names, values, choices, and which of them are within the limits.
const all = data.candidates;
const rows = all.number.map((_, row) => row);
const axisOf = Object.fromEntries(data.axes.map((axis) => [axis.key, axis]));
const isFront = new Set(data.front);
const isTie = new Set(data.ties);

const stageOf = (row) => all.stages[all.stage[row]];
const originOf = (row) => all.origins[all.origin[row]];
const isDone = (row) => !(row in all.errors);
const nameOf = (row) => `#${all.number[row]}` + (all.design.length && all.design[row] >= 0 ? ` on design ${all.design[row]}` : "");

const valueOf = (row, key) => axisOf[key].values[row] ?? null;
const written = (row, key) => fixed(valueOf(row, key), axisOf[key].digits, axisOf[key].unit);

/** `96.1 to 98.2`, the 95 % interval of an accuracy; "" where there is none. */
function interval(row, key) {
  const { low, high } = axisOf[key];
  return low[row] === null || low[row] === undefined ? "" : `${low[row].toFixed(1)} to ${high[row].toFixed(1)}`;
}

/** The indices in `data.configs.choices` of a candidate, one per module. */
function choicesOf(row) {
  const { codes, of, width, digits } = data.configs;
  const code = codes[of[row]];
  const found = [];
  for (let at = 0; at < code.length; at += width) {
    found.push([...code.slice(at, at + width)].reduce((sum, digit) => sum * digits.length + digits.indexOf(digit), 0));
  }
  return found;
}

/** The choices of a candidate in one line: equal ones that follow each other once, `4/4 ×3`. */
function configText(row) {
  const runs = [];
  for (const choice of choicesOf(row).map((index) => data.configs.choices[index].label)) {
    const last = runs.at(-1);
    if (last && last[0] === choice) last[1] += 1;
    else runs.push([choice, 1]);
  }
  return runs.map(([label, times]) => (times > 1 ? `${label} (${times}×)` : label)).join("  ");
}

/** Whether a candidate keeps all limits; what has no value keeps none. */
function isWithin(row) {
  return Object.entries(store.limits).every(([key, limit]) => {
    const value = valueOf(row, key);
    if (value === null) return false;
    return axisOf[key].better === "high" ? value >= limit : value <= limit;
  });
}

/** What marks a candidate, in words. */
function marksOf(row) {
  return [
    row === data.picked && "picked", row !== data.picked && isTie.has(row) && "tie", isFront.has(row) && "front",
    originOf(row) === "uniform" && "uniform",
  ].filter(Boolean);
}

/** Lines of a tooltip. */
function linesOf(row) {
  const marks = marksOf(row);
  const accuracy = interval(row, "accuracy");
  return [
    `${nameOf(row)} ${stageOf(row).toUpperCase()}${marks.length ? `, ${marks.join(", ")}` : ""}`,
    `Validation ${written(row, "accuracy")}${accuracy ? ` (95 %: ${accuracy})` : ""}`,
    ...("test_accuracy" in axisOf && valueOf(row, "test_accuracy") !== null
      ? [`Test ${written(row, "test_accuracy")} (95 %: ${interval(row, "test_accuracy")})`] : []),
    ...data.axes.filter((axis) => axis.better === "low").map((axis) => `${axis.short} ${written(row, axis.key)}`),
    `W/A bits: ${configText(row)}`,
  ];
}

/** The rows that no other is better than on two axes, along the first, best value first. */
function bestOf(pool, x, y) {
  const loss = (row, axis) => (axisOf[axis].better === "low" ? valueOf(row, axis) : -valueOf(row, axis));
  const sorted = pool.filter((row) => valueOf(row, x) !== null && valueOf(row, y) !== null)
    .sort((a, b) => loss(a, x) - loss(b, x) || loss(a, y) - loss(b, y));
  let best = Infinity;
  return sorted.filter((row) => {
    if (loss(row, y) >= best) return false;
    best = loss(row, y);
    return true;
  });
}
