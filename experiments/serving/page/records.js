// Recorded episodes as pictures, and a row of one to begin at.

const EVERY_MS = 60; // between two pictures of the slider

export class Records {
  // `enters(episode, row)` is called where one is to begin.
  constructor(section, enters) {
    this.section = section;
    this.part = (id) => section.querySelector(`#${id}`);
    this.told = [];
    this.episode = -1;
    this.timer = 0;
    this.part("row").addEventListener("input", () => this.move());
    this.part("enter-row").addEventListener("click", () => {
      enters(this.episode, this.row);
    });
  }

  get row() {
    return Number(this.part("row").value);
  }

  know(told) {
    this.section.hidden = !told.length;
    if (JSON.stringify(told) === JSON.stringify(this.told)) return;
    this.told = told;
    this.part("chosen").hidden = true;
    this.part("episodes").replaceChildren(...told.map((one, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "episode";
      button.setAttribute("aria-pressed", "false");
      const image = new Image(80, 72);
      image.loading = "lazy";
      image.alt = "";
      image.src = address(number, one.rows >> 1);
      const held = one.held_out ? ", held out" : "";
      button.append(image, `${number + 1}: ${one.behaviour}, ${one.rows} rows${held}`);
      button.addEventListener("click", () => this.choose(number));
      return button;
    }));
  }

  choose(number) {
    this.episode = number;
    this.part("episodes").querySelectorAll("button").forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === number));
    });
    this.part("chosen").hidden = false;
    const slider = this.part("row");
    slider.max = String(this.told[number].rows - 1);
    slider.value = String(this.told[number].rows >> 1);
    this.move();
  }

  move() {
    this.part("row-number").textContent = String(this.row);
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      const image = this.part("row-picture");
      image.src = address(this.episode, this.row);
      image.alt = `Row ${this.row} of episode ${this.episode + 1}`;
    }, EVERY_MS);
  }
}

function address(episode, row) {
  return `/record/${episode}/${row}.png`;
}
