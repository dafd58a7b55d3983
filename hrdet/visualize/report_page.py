"""The page of a report: HTML with the data of ``hrdet.visualize.report`` in place of {{data}}."""

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>hrdet test report</title>
<style>
  body {
    font: 14px/1.4 system-ui, sans-serif; margin: 1.5em auto; max-width: 1400px; padding: 0 1em;
    color: #222
  }
  h1 { font-size: 1.4em } h2 { font-size: 1.15em; margin-top: 2em }
  table { border-collapse: collapse; margin: .5em 0 }
  th, td {
    padding: 2px 10px; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap
  }
  .text { text-align: left }
  th { cursor: pointer; background: #f4f4f4; position: sticky; top: 0 }
  .scroll {
    max-height: 30em; overflow: auto; display: inline-block; margin-right: 2em;
    vertical-align: top
  }
  .plot { max-width: 100%; max-height: 620px; display: block; margin: 1em 0 }
  #filters {
    position: sticky; top: 0; background: #fff; padding: .6em 0; border-bottom: 1px solid #ccc;
    z-index: 1
  }
  #filters label { margin-right: 1.5em }
  #images { display: flex; flex-wrap: wrap; gap: 14px; margin-top: 1em }
  figure { margin: 0; max-width: 100% }
  figure img { max-width: 100%; height: auto; display: block }
  figcaption { font-size: 12px; color: #555 }
</style>
<h1 id="title"></h1>
<p id="about"></p>
<div id="metrics"></div>
<div id="sections"></div>
<h2 id="heading"></h2>
<div id="filters">
  <label>class <select id="class"></select></label>
  <label><span id="kind"></span> <select id="outcome"></select></label>
  <label class="scores">score of it at least
    <input id="score" type="range" min="0" max="1" step="0.05" value="0"> <output></output></label>
  <label class="scores">score of the image at most
    <input id="worst" type="range" min="0" max="1" step="0.05" value="1"> <output></output></label>
  <b id="count"></b>
</div>
<div id="images"></div>
<script id="data" type="application/json">{{data}}</script>
<script>
const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);

function element(tag, text, parent, attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

// Texts and numbers; null where there is none.
const shown = v => v === null ? '-' : Number.isInteger(v) ? v.toLocaleString('en') : v;

function table(columns, rows, parent) {
  const box = element('div', null, parent, {className: 'scroll'});
  const made = element('table', null, box);
  const head = element('tr', null, made), body = element('tbody', null, made);
  let order = 1;
  // Texts begin at the left, numbers end at the right; a column is one or the other.
  const kind = index => rows.some(row => typeof row[index] === 'string') ? 'text' : '';
  const fill = () => {
    body.replaceChildren();
    for (const row of rows) {
      const line = element('tr', null, body);
      row.forEach((v, index) => element('td', shown(v), line, {className: kind(index)}));
    }
  };
  const title = (name, index) => element('th', name, head, {className: kind(index)});
  columns.forEach((name, index) => title(name, index).onclick = () => {
    order = -order;
    rows.sort((a, b) => order * (a[index] > b[index] ? 1 : a[index] < b[index] ? -1 : 0));
    fill();
  });
  fill();
}

$('title').textContent = data.title;
for (const id of ['about', 'heading', 'kind']) $(id).textContent = data[id];
if (data.metrics.length) table(['metric', '%'], data.metrics, $('metrics'));
else for (const label of document.querySelectorAll('.scores')) label.hidden = true;
for (const section of data.sections) {
  element('h2', section.title, $('sections'));
  for (const file of section.pictures)
    element('img', null, $('sections'), {src: file, className: 'plot', alt: file});
  for (const {columns, rows} of section.tables) table(columns, rows, $('sections'));
}

for (const [id, names] of [['class', data.classes], ['outcome', data.outcomes]]) {
  element('option', 'all', $(id), {value: ''});
  names.forEach((name, index) =>
    element('option', name, $(id), {value: id === 'class' ? index : name}));
}
const figures = data.images.map(image => {
  const figure = element('figure', null, $('images'));
  const link = element('a', null, figure, {href: image.full || image.file});
  const {width, height, title: alt} = image;
  // Small pictures stand beside each other; a caption has room for some words.
  figure.style.width = `${Math.min(660, Math.max(180, width))}px`;
  element('img', null, link, {src: image.file, loading: 'lazy', width, height, alt});
  element('figcaption', `${image.title}: ${image.text}`, figure);
  return figure;
});

function filter() {
  const label = $('class').value, kind = $('outcome').value;
  const score = Number($('score').value), worst = Number($('worst').value);
  let count = 0;
  data.images.forEach((image, index) => {
    const all = label === '' && kind === '' && score === 0;
    const hit = all || image.outcomes.some(([l, k, s]) =>
      (label === '' || l === Number(label)) && (kind === '' || k === kind)
      && (s >= score || k === 'missed' && kind === k));
    figures[index].hidden = !hit || image.score > worst;
    count += !figures[index].hidden;
  });
  $('count').textContent = `${count} of ${data.images.length} images`;
  for (const id of ['score', 'worst']) $(id).nextElementSibling.value = $(id).value;
}
for (const id of ['class', 'outcome', 'score', 'worst']) $(id).oninput = filter;
filter();
</script>
"""
