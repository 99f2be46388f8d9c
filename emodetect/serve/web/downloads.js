// Files that the page saves: the picture, and results as `emodetect predict` writes them.

const BOX = ["x", "y", "box_width", "box_height"];

export function save(blob, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `emodetect-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 2000);
}

export function asJson(rows) {
  return `${JSON.stringify(rows)}\n`;
}

// A row for each face; a photo without faces has one row without a box.
export function asCsv(rows, emotions) {
  const lines = [["path", "width", "height", ...BOX, "emotion", "confidence", ...emotions, "error"]];
  for (const { path, width, height, faces, error } of rows) {
    const start = [path, width, height];
    for (const face of faces) {
      const scores = emotions.map((emotion) => face.scores[emotion]);
      lines.push([...start, ...face.box, face.emotion, face.confidence, ...scores, error]);
    }
    if (!faces.length) lines.push([...start, ...Array(BOX.length + 2 + emotions.length).fill(null), error]);
  }
  return lines.map((line) => `${line.map(cell).join(",")}\n`).join("");
}

function cell(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
