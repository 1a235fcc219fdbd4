// Pictures: frames, thumbnails and maps in grey, on canvases.
(function (own) {
  "use strict";

  const GREYS = [255, 153, 85, 0];
  // Shade -> a pixel's four bytes as one number; 4 is nothing.
  const PIXELS = new Uint32Array(Uint8Array.from([
    ...GREYS.flatMap((grey) => [grey, grey, grey, 255]), 0, 0, 0, 0,
  ]).buffer);
  const CELL = 16;

  // Puts shades 0..3 on a canvas; 4 is nothing.
  own.paintShades = (canvas, shades, width) => {
    const height = shades.length / width;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < shades.length; i++) pixels[i] = PIXELS[shades[i]];
    context.putImageData(image, 0, 0);
  };

  // The map that a model remembers, and where it believes to be on it.
  own.MapView = class {
    constructor(canvas, atlas) {
      this.canvas = canvas;
      this.atlas = atlas;
      this.drawn = new Map(); // map -> its picture, null where none is known
    }

    show(map, y, x) {
      if (!this.drawn.has(map)) this.drawn.set(map, this.draw(map));
      const known = this.drawn.get(map);
      this.canvas.hidden = !known;
      if (!known) return;
      this.canvas.width = known.picture.width;
      this.canvas.height = known.picture.height;
      const context = this.canvas.getContext("2d");
      context.drawImage(known.picture, 0, 0);
      context.strokeStyle = "#c0500f";
      context.lineWidth = 4;
      context.strokeRect((x - known.left) * CELL + 2, (y - known.top) * CELL + 2, CELL - 4, CELL - 4);
    }

    draw(map) {
      const known = this.atlas.map(map);
      if (!known) return null;
      const picture = document.createElement("canvas");
      own.paintShades(picture, known.shades, known.columns * CELL);
      return { ...known, picture };
    }
  };
})((globalThis.PokeDreamer ??= {}));
