// Puts the page together. What is below the first screen is drawn when it comes into view.
document.documentElement.classList.add("scripted");
setUpTheme();
setUpLimits();
const first = setUpFront();
setUpTables();
setUpChosen();
setUpParallel();
setUpSensitivity();
setUpHypervolume();
Promise.resolve(first.draw()).then(() => performance.mark("hwmodel-first-chart"));
