// The page's own script: shows and hides modes, changes axes, reads values from charts. Without it every chart
// and table is there.
'use strict';
(() => {
  for (const tools of document.querySelectorAll('.tools')) {
    const article = tools.closest('article');
    tools.hidden = false;
    tools.addEventListener('change', ({ target }) => {
      if (target.type === 'checkbox') {
        article.classList.toggle('hide-' + target.value, !target.checked);
        return;
      }
      for (const figure of article.querySelectorAll('figure')) {
        const views = [...figure.querySelectorAll('.view')];
        if (views.length > 1) for (const view of views) view.hidden = view.dataset.scale !== target.value;
      }
    });
  }

  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.setAttribute('role', 'status');
  document.body.append(tip);
  const hide = () => { tip.textContent = ''; };
  const show = (mark, x, y) => {
    tip.textContent = mark.text;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - width - 8)) + 'px';
    tip.style.top = (y - height - 10 > 0 ? y - height - 10 : y + 16) + 'px';
  };
  // How far a place is from a rectangle.
  const distance = (box, x, y) => Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));

  for (const svg of document.querySelectorAll('.view svg')) {
    const marks = [...svg.querySelectorAll('.p')].map((group) => {
      const title = group.querySelector('title');
      const text = title ? title.textContent : '';
      if (title) title.remove();
      return { group, text };
    });
    if (!marks.length) continue;
    const boxes = () => marks
      .map((mark) => ({ mark, box: mark.group.getBoundingClientRect() }))
      .filter(({ box }) => box.width || box.height);
    let at = -1;
    svg.tabIndex = 0;
    svg.setAttribute('aria-label', svg.getAttribute('aria-label') + ' The arrow keys read the values.');
    svg.addEventListener('pointermove', ({ clientX, clientY }) => {
      let nearest = null;
      for (const { mark, box } of boxes()) {
        const far = distance(box, clientX, clientY), size = box.width * box.height;
        if (far < 24 && (!nearest || far < nearest.far || (far === nearest.far && size < nearest.size))) nearest = { mark, far, size };
      }
      if (nearest) show(nearest.mark, clientX, clientY); else hide();
    });
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('blur', () => { at = -1; hide(); });
    svg.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === 'Escape') { at = -1; hide(); return; }
      if (!step) return;
      const seen = boxes();
      if (!seen.length) return;
      event.preventDefault();
      at = at < 0 ? (step > 0 ? 0 : seen.length - 1) : (at + step + seen.length) % seen.length;
      const { mark, box } = seen[at];
      show(mark, box.left + box.width / 2, box.top);
    });
  }
})();
