/* Vendored libraries, fetched when something needs them: once, and from our own address. */

/* global Idiomorph */

// What a reader has unfolded stays so, however often the page is brought up to date.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element.tagName === "DETAILS");

const loading = new Map();

/** Resolves when a classic script has run; its library is a global from then on. */
export function script(path) {
  return once(path, () => {
    const element = document.createElement("script");
    element.src = new URL(path, import.meta.url).href;
    return element;
  });
}

/** Resolves when a stylesheet holds. */
export function stylesheet(path) {
  return once(path, () => {
    const element = document.createElement("link");
    element.rel = "stylesheet";
    element.href = new URL(path, import.meta.url).href;
    return element;
  });
}

/** A function that runs `work` now, or once more after the run under way; never twice at a time. */
export function oneAtATime(work) {
  let running = false;
  let again = false;
  return async function run() {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      running = false;
    }
  };
}

function once(path, make) {
  if (!loading.has(path)) {
    const loaded = new Promise((resolve, reject) => {
      const element = make();
      element.onload = () => resolve();
      element.onerror = () => {
        loading.delete(path);
        element.remove();
        reject(new Error(`${path} could not be loaded`));
      };
      document.head.append(element);
    });
    loading.set(path, loaded);
  }
  return loading.get(path);
}
