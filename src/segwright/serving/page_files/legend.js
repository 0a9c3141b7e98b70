// The classes of a model with their colours: which are shown, and how much of the picture each one takes.

export class Legend extends EventTarget {
  /** Events: `change`, and `point`, whose `detail` is the class that is pointed at or null. */
  constructor(list, classes, background) {
    super();
    this.list = list;
    this.shown = new Set(classes.keys());
    this.rows = classes.map(({ name, colour }, index) => this.row(name, colour, index));
    background.forEach(index => this.set(index, false));
    list.replaceChildren(...this.rows.map(({ item }) => item));
  }

  row(name, colour, index) {
    const item = element("li"), label = element("label"), box = element("input"), swatch = element("i", "swatch");
    const title = element("span", "name", name), share = element("span", "share"), length = element("i", "length");
    box.type = "checkbox";
    box.checked = true;
    swatch.style.background = length.style.background = `rgb(${colour.join(" ")})`;
    label.append(box, swatch, title, share);
    item.append(label, length);
    box.addEventListener("change", () => {
      this.set(index, box.checked);
      this.dispatchEvent(new Event("change"));
    });
    const point = detail => () => this.dispatchEvent(new CustomEvent("point", { detail }));
    item.addEventListener("pointerenter", event => event.pointerType === "mouse" && point(index)());
    item.addEventListener("pointerleave", point(null));
    return { item, box, share, length };
  }

  set(index, shown) {
    this.rows[index].box.checked = shown;
    if (shown) this.shown.add(index);
    else this.shown.delete(index);
  }

  setAll(shown) {
    this.rows.forEach((_, index) => this.set(index, shown));
    this.dispatchEvent(new Event("change"));
  }

  enable(enabled) {
    this.rows.forEach(({ box }) => (box.disabled = !enabled));
  }

  /** Say how many of the picture's pixels each class has, most first. */
  count(pixels) {
    const all = pixels.reduce((a, b) => a + b, 0);
    this.rows.forEach(({ item, share, length }, index) => {
      share.textContent = percent(pixels[index] / all);
      length.style.width = `${Math.floor((100 * pixels[index]) / all)}%`;
      item.classList.toggle("absent", !pixels[index]);
    });
    const order = [...this.rows.keys()].sort((a, b) => pixels[b] - pixels[a] || a - b);
    this.list.replaceChildren(...order.map(index => this.rows[index].item));
  }

  /** Mark the row of a class, or none. */
  mark(marked) {
    this.rows.forEach(({ item }, index) => item.classList.toggle("marked", index === marked));
  }
}

/** An element; texts are only ever texts, never markup. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  return made;
}

/** A share in as many digits as say something. */
export function percent(share) {
  if (share === 0) return "none";
  if (share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(share < 0.9995 ? 1 : 0)} %`;
}
