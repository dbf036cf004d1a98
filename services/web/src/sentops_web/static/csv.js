// Reads CSV as it arrives: feed it pieces of text, get whole rows.

export class CsvReader {
  #cell = "";
  #row = [];
  #quoted = false;
  #closing = false;

  push(piece) {
    const rows = [];
    for (const sign of piece) {
      if (this.#quoted) {
        if (this.#closing) {
          this.#closing = false;
          if (sign === '"') { this.#cell += '"'; continue; }
          this.#quoted = false; // and the sign after the quote is read below
        } else if (sign === '"') { this.#closing = true; continue; }
        else { this.#cell += sign; continue; }
      }
      if (sign === '"' && this.#cell === "") this.#quoted = true;
      else if (sign === ",") { this.#row.push(this.#cell); this.#cell = ""; }
      else if (sign === "\n") {
        this.#row.push(this.#cell);
        rows.push(this.#row);
        this.#row = [];
        this.#cell = "";
      } else if (sign !== "\r") this.#cell += sign;
    }
    return rows;
  }
}
