// Numbers along the way: times of key to pixel, and what the model says.

export class Recent {
  constructor(most) {
    this.most = most;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.most) this.values.shift();
  }

  // The value that a share of them do not exceed; null without any.
  quantile(share) {
    if (!this.values.length) return null;
    const sorted = [...this.values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }
}

// Points of a line in a box, from left to right; the last value lies right.
export function line(values, most, width, height, low, high) {
  const range = high - low || 1;
  return values.map((value, i) => [
    width - ((values.length - 1 - i) * width) / Math.max(1, most - 1),
    height - ((value - low) / range) * height,
  ]);
}
