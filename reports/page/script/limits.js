// Limits: a number and a slider per objective. What is beyond one is dimmed, and counted.
function setUpLimits() {
  const box = byId("limits");
  for (const axis of objectiveAxes) box.append(limitControl(axis));
  box.append(button("No limits", () => change({ limits: {} }), { class: "quiet" }));
  watch(["limits"], showLimits);
  showLimits();
}

function limitControl(axis) {
  const known = axis.values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known);
  const step = 10 ** -axis.digits;
  const loosest = axis.better === "high" ? low : high;
  const side = axis.better === "high" ? "at least" : "at most";
  const unit = axis.unit ? ` [${axis.unit}]` : "";
  const name = `${axis.short} ${side}${unit}`;
  const number = el("input", { type: "number", step, "aria-label": name, placeholder: "no limit" });
  const slider = el("input", { type: "range", min: low, max: high, step, "aria-label": `${name}, slider` });
  number.addEventListener("change", () => setLimit(axis.key, number.value === "" ? null : Number(number.value)));
  slider.addEventListener("input", () => {
    const value = Number(slider.value);
    setLimit(axis.key, value === loosest ? null : value);
  });
  const show = () => {
    const limit = store.limits[axis.key];
    number.value = limit ?? "";
    slider.value = limit ?? loosest;
  };
  watch(["limits"], show);
  show();
  return el("div", { class: "limit" }, el("span", {}, name), number, slider);
}

function setLimit(key, value) {
  const { [key]: _, ...others } = store.limits;
  change({ limits: value === null || Number.isNaN(value) ? others : { ...others, [key]: value } });
}

function showLimits() {
  const done = rows.filter(isDone);
  const within = done.filter(isWithin).length;
  const front = data.front.filter(isWithin).length;
  const text = Object.keys(store.limits).length
    ? `${within.toLocaleString("en")} of ${counted(done.length, "candidate")} within the limits, `
      + `${front} of ${data.front.length} on the front; the others are dimmed.`
    : "";
  byId("limits-said").textContent = text;
}
