// Shows the layout's ids as colours. Only what has changed is drawn again.

const packed = (color) => new Uint32Array(Uint8Array.from([...color, 255]).buffer)[0]; // as the machine orders bytes

export class LayoutCanvas {
  constructor(canvas, layout, classes) {
    canvas.width = layout.width;
    canvas.height = layout.height;
    this.layout = layout;
    this.paper = canvas.getContext("2d", { alpha: false });
    this.image = new ImageData(layout.width, layout.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.colors = new Uint32Array(256);
    for (const one of classes) this.colors[one.id] = packed(one.color);
    this.draw({ left: 0, top: 0, right: layout.width, bottom: layout.height });
  }

  draw({ left, top, right, bottom }) {
    const { ids, width } = this.layout;
    for (let row = top; row < bottom; row += 1) {
      for (let place = row * width + left; place < row * width + right; place += 1) {
        this.pixels[place] = this.colors[ids[place]];
      }
    }
    this.paper.putImageData(this.image, 0, 0, left, top, right - left, bottom - top);
  }
}
