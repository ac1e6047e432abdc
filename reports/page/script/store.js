// One state of the page; whoever shows a part of it is told when that part changes.
const objectiveAxes = data.axes.filter((axis) => axis.is_objective);
const costAxis = objectiveAxes.find((axis) => axis.better === "low") ?? data.axes.find((axis) => axis.better === "low");

const store = {
  chosen: data.picked >= 0 ? data.picked : (data.front[0] ?? 0),
  x: costAxis ? costAxis.key : data.axes[0].key,
  y: "accuracy",
  limits: Object.fromEntries(data.axes.filter((axis) => axis.limit !== null).map((axis) => [axis.key, axis.limit])),
  isWhole: false,
  theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
};
const listeners = [];

/** Call `action` whenever one of these keys changes. */
function watch(keys, action) {
  listeners.push([keys, action]);
}

/** Change a part of the state. */
function change(values) {
  const changed = Object.keys(values).filter((key) => store[key] !== values[key]);
  Object.assign(store, values);
  for (const [keys, action] of listeners) {
    if (keys.some((key) => changed.includes(key))) action();
  }
}

/** Show a candidate everywhere. */
function choose(row) {
  change({ chosen: row });
  announce(`${nameOf(row)} shown.`);
}
