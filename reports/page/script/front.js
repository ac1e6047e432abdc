// The front: two axes of choice; members of the front over all objectives ringed, the best of the two axes dashed.
const SHIFT = 0.008; // the test stands right of the validation by this share of the width

function setUpFront() {
  for (const name of ["x", "y"]) {
    const select = byId(`axis-${name}`);
    for (const axis of data.axes) select.append(el("option", { value: axis.key }, axis.label));
    select.value = store[name];
    select.addEventListener("change", () => change({ [name]: select.value, isWhole: false }));
  }
  const zoom = byId("zoom");
  zoom.addEventListener("click", () => change({ isWhole: !store.isWhole }));
  const one = chart("front-chart", ["x", "y", "limits", "chosen", "isWhole"], drawFront);
  one.node.addEventListener("keydown", walkFront);
  return one;
}

/** Arrow keys go along the front, from one member to the next. */
function walkFront(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const sorted = [...data.front].sort((a, b) => valueOf(a, store.x) - valueOf(b, store.x));
  const at = sorted.indexOf(store.chosen);
  choose(sorted[Math.min(Math.max(at + step, 0), sorted.length - 1)]);
}

function drawFront(node) {
  const known = rows.filter((row) => isDone(row) && valueOf(row, store.x) !== null && valueOf(row, store.y) !== null);
  const region = regionOf(known);
  const outside = known.filter((row) => !isInside(row, region));
  const groups = frontGroups(known, region);
  const x = axisOf[store.x], y = axisOf[store.y];
  const isNew = !node.data;
  const drawn = Plotly.react(node, groups.map((group) => group.trace), layout({
    height: 460, showlegend: true, shapes: floatLine(), annotations: floatLabel(),
    xaxis: { title: { text: plain(x.label) }, ...(store.isWhole ? {} : { range: region.x }) },
    yaxis: { title: { text: plain(y.label) }, ...(store.isWhole ? {} : { range: region.y }) },
    uirevision: `${store.x} ${store.y} ${store.isWhole}`,
  }), CONFIG);
  node.groups = groups;
  if (isNew) {
    tooltip(node, (point) => node.groups[point.curveNumber].rows.length
      ? linesOf(node.groups[point.curveNumber].rows[point.pointNumber]) : null);
    node.on("plotly_click", (event) => {
      const row = node.groups[event.points[0].curveNumber].rows[event.points[0].pointNumber];
      if (row !== undefined) choose(row);
    });
  }
  sayFront(node, known, outside);
  return drawn;
}

/** One trace of points, and the rows that they stand for. */
function points(name, found, trace, shift = 0) {
  return {
    rows: found,
    trace: {
      type: "scatter", mode: "markers", name, hoverinfo: "none", showlegend: found.length > 0,
      x: found.map((row) => valueOf(row, store.x) + shift), y: found.map((row) => valueOf(row, store.y)), ...trace,
    },
  };
}

function frontGroups(known, region) {
  const colour = palette();
  const isLimited = Object.keys(store.limits).length > 0;
  const within = new Set(isLimited ? known.filter(isWithin) : known);
  const of = (stage) => known.filter((row) => within.has(row) && stageOf(row) === stage);
  const part = known.filter((row) => within.has(row) && !["ptq", "qat"].includes(stageOf(row)));
  const front = known.filter((row) => isFront.has(row));
  const uniform = data.uniform.filter((row) => known.includes(row));
  const marker = (color, size, more = {}) => ({ marker: { color, size, line: { width: 0 }, ...more } });
  return [
    points("beyond the limits", known.filter((row) => !within.has(row)), marker(colour.dimmed, 5, { opacity: 0.35 })),
    points("quantized (PTQ)", of("ptq"), marker(colour.ptq, 6, { opacity: 0.55 })),
    points("finetuned in part", part, marker(colour.ptq, 6, { symbol: "triangle-up", opacity: 0.7 })),
    points("finetuned (QAT)", of("qat"), marker(colour.qat, of("qat").length > 200 ? 6 : 8, { opacity: 0.85 })),
    projection(known.filter((row) => stageOf(row) === data.final_stage)),
    points(`front over ${objectiveAxes.length} objectives, validation`, front, {
      ...marker("rgba(0,0,0,0)", 14, { line: { color: colour.qat, width: 1.6 } }), ...bars(front, "accuracy", colour.qat),
    }),
    ...tests("front, test split (drawn to the right)", front, region, colour.test),
    points("uniform bits, finetuned", uniform, {
      ...marker(colour.uniform, 9, { symbol: "square-open", line: { width: 1.8 } }),
    }),
    ...tests("uniform bits, test split", uniform.filter((row) => !isFront.has(row)), region, colour.uniform),
    points("picked", known.filter((row) => row === data.picked), {
      ...marker("rgba(0,0,0,0)", 22, { line: { color: colour.picked, width: 2.4 } }),
    }),
    points("chosen", known.filter((row) => row === store.chosen), {
      ...marker(colour.ink, 11, { symbol: "cross-thin", line: { color: colour.ink, width: 2 } }), showlegend: false,
    }),
  ];
}

/** The best candidates in these two axes alone, as steps. */
function projection(pool) {
  const best = bestOf(pool, store.x, store.y);
  return {
    rows: [],
    trace: {
      type: "scatter", mode: "lines", name: "best in these two axes (projection)", hoverinfo: "skip",
      x: best.map((row) => valueOf(row, store.x)), y: best.map((row) => valueOf(row, store.y)),
      line: { shape: "hv", dash: "dash", width: 1.2, color: palette().muted },
    },
  };
}

/** The 95 % intervals of an accuracy, where that is the vertical axis. */
function bars(found, key, color) {
  if (store.y !== key) return {};
  const axis = axisOf[key];
  const reach = (ends, sign) => found.map((row) => ends[row] == null ? 0 : sign * (ends[row] - valueOf(row, key)));
  return {
    error_y: {
      type: "data", symmetric: false, array: reach(axis.high, 1), arrayminus: reach(axis.low, -1), color, thickness: 1.1,
      width: 3,
    },
  };
}

/** Validation shown: the test split too, a little to the right. */
function tests(name, pool, region, color) {
  if (store.y !== "accuracy" || !("test_accuracy" in axisOf)) return [];
  const tested = pool.filter((row) => valueOf(row, "test_accuracy") !== null);
  const span = store.isWhole ? extent(rows.map((row) => valueOf(row, store.x))) : region.x;
  const { low, high, values } = axisOf.test_accuracy;
  const made = points(name, tested, {
    marker: { color, size: 8, symbol: "diamond-open", line: { width: 1.6 } },
    y: tested.map((row) => values[row]),
    error_y: {
      type: "data", symmetric: false, color, thickness: 1.1, width: 3,
      array: tested.map((row) => high[row] - values[row]), arrayminus: tested.map((row) => values[row] - low[row]),
    },
  }, SHIFT * 1.5 * (span[1] - span[0]));
  return [made];
}

const extent = (values) => {
  const known = values.filter((value) => value !== null);
  return [Math.min(...known), Math.max(...known)];
};

/** Where the points differ: around the front and the uniform candidates, intervals included. */
function regionOf(known) {
  const shown = known.filter((row) => isFront.has(row) || data.uniform.includes(row) || row === data.picked
    || row === store.chosen);
  const pool = shown.length ? shown : known;
  const ends = [...pool.map((row) => valueOf(row, store.y))];
  if (store.y === "accuracy") {
    for (const key of ["accuracy", "test_accuracy"].filter((name) => name in axisOf)) {
      for (const row of pool.filter((one) => isFront.has(one))) ends.push(axisOf[key].low[row], axisOf[key].high[row]);
    }
    if (data.float) ends.push(data.float.value);
  }
  return { x: padded(extent(pool.map((row) => valueOf(row, store.x)))), y: padded(extent(ends.filter((end) => end != null))) };
}

function padded([low, high]) {
  const room = (high - low || Math.abs(high) * 0.1 || 1) * 0.06;
  return [low - room, high + room];
}

function isInside(row, { x, y }) {
  const [a, b] = [valueOf(row, store.x), valueOf(row, store.y)];
  return a >= x[0] && a <= x[1] && b >= y[0] && b <= y[1];
}

function floatLine() {
  if (store.y !== "accuracy" || !data.float) return [];
  const { value } = data.float;
  return [{
    type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, layer: "below",
    line: { color: palette().muted, width: 1, dash: "dot" },
  }];
}

function floatLabel() {
  if (store.y !== "accuracy" || !data.float) return [];
  return [{
    xref: "paper", x: 0.005, y: data.float.value, xanchor: "left", yanchor: "bottom", showarrow: false,
    text: `float ${fixed(data.float.value, 2, "%")}`, font: { size: 11, color: palette().muted },
  }];
}

/** Everything that is not drawn, in words, and the chart for those who do not see it. */
function sayFront(node, known, outside) {
  const unknown = rows.filter(isDone).length - known.length;
  const failed = Object.keys(all.errors).length;
  const said = [];
  if (outside.length && !store.isWhole) said.push(`${counted(outside.length, "point")} outside this view`);
  if (unknown) said.push(`${counted(unknown, "candidate")} without a value on these axes`);
  if (failed) said.push(`${counted(failed, "failed candidate")}`);
  byId("front-said").textContent = said.length ? `Not drawn: ${said.join(", ")}.` : "Every candidate is drawn.";
  const zoom = byId("zoom");
  zoom.textContent = store.isWhole ? "Zoom to the front" : "Show all";
  zoom.hidden = !outside.length;
  describe(node, `Scatter of ${counted(known.length, "candidate")}, ${axisOf[store.y].short} over ${axisOf[store.x].short}; `
    + `${data.front.length} on the front. Chosen: ${linesOf(store.chosen).slice(0, -1).join(", ")}. `
    + "Arrow keys go along the front.");
}
