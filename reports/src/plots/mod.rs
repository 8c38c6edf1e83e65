//! Charts. One chart = one file + one line in [`registry`].
//!
//! A chart file decides what is shown ([`Figure`]); `draw` shows it. SVG comes from plotters; PNG is that
//! SVG rasterised by resvg with a font of our own, so both look the same on every machine and need no
//! system library.

mod axis;
mod chart;
mod draw;
mod draw_rows;
mod endpoints;
mod figure;
mod first_packet_by_position;
mod first_packet_by_size;
mod in_brief;
mod kernel_memory;
mod kernels;
mod lists;
mod memory_by_cpus;
mod memory_by_source;
mod notes;
mod per_service;
mod percentile_ladder;
mod room;
mod rule_count;
mod style;
mod svg;
mod thumbnail;
mod trend;
mod update_time;
mod updates_at_largest;

use std::sync::Arc;

use resvg::{tiny_skia, usvg};
use schema::summary::{Over, Summary};
use schema::{Protocol, ScenarioKind};

use crate::load::Run;
use crate::view::{are_named, scopes};
use chart::Source;

pub use figure::{Figure, Numbers};
pub use trend::trend_of;

/// Pixels of a PNG for each unit of its SVG: sharp on screens with two pixels a point.
const PNG_SCALE: f32 = 2.0;
/// DejaVu Sans 2.37, see `font/LICENSE`.
static FONT: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// A chart that the report can show.
#[derive(Debug, Clone, Copy)]
pub struct Chart {
    /// Name of its files, without extension.
    pub name: &'static str,
    /// What its first panel is a cost over; `None` where it is of the largest N.
    pub over: Option<Over>,
    form: Form,
}

/// What is drawn; `None` when nothing was planned that it could show.
#[derive(Debug, Clone, Copy)]
enum Form {
    FirstPacket(Protocol),
    Update(ScenarioKind),
    Own(Own),
}

const fn over_n(name: &'static str, form: Form) -> Chart {
    Chart {
        name,
        over: Some(Over::Services),
        form,
    }
}

/// What one kind of update costs, by its name.
const fn update(scenario: ScenarioKind) -> Chart {
    over_n(scenario.name(), Form::Update(scenario))
}

/// A chart with a file of its own.
type Own = fn(&Source<'_>) -> Option<Figure>;

const fn at_largest(name: &'static str, figure: Own) -> Chart {
    Chart {
        over: None,
        ..over_n(name, Form::Own(figure))
    }
}

const fn over_endpoints(name: &'static str, figure: Own) -> Chart {
    Chart {
        over: Some(Over::Endpoints),
        ..over_n(name, Form::Own(figure))
    }
}

/// Every chart, in the order of the page.
#[must_use]
pub const fn registry() -> &'static [Chart] {
    REGISTRY
}

const REGISTRY: &[Chart] = &[
    at_largest(IN_BRIEF, in_brief::figure),
    over_endpoints("endpoints", endpoints::figure),
    over_n("first-packet-tcp", Form::FirstPacket(Protocol::Tcp)),
    over_n("first-packet-udp", Form::FirstPacket(Protocol::Udp)),
    at_largest("first-packet-by-position", first_packet_by_position::figure),
    at_largest("percentile-ladder", percentile_ladder::figure),
    at_largest("updates", updates_at_largest::figure),
    update(ScenarioKind::ServiceAdd),
    update(ScenarioKind::ServiceRemove),
    update(ScenarioKind::EndpointChurn),
    update(ScenarioKind::ColdInstall),
    update(ScenarioKind::Resync),
    update(ScenarioKind::Teardown),
    over_n("kernel-memory", Form::Own(kernel_memory::figure)),
    at_largest("memory-by-source", memory_by_source::figure),
    at_largest("memory-by-cpus", memory_by_cpus::figure),
    over_n("rule-count", Form::Own(rule_count::figure)),
    at_largest("per-service", per_service::figure),
];

impl Chart {
    fn figure(&self, source: &Source<'_>) -> Option<Figure> {
        match self.form {
            Form::FirstPacket(protocol) => first_packet_by_size::figure(source, protocol),
            Form::Update(scenario) => update_time::figure(source, scenario),
            Form::Own(figure) => figure(source),
        }
    }
}

/// Name of the files of the chart that answers what is asked first; it stands at the top of the page.
pub const IN_BRIEF: &str = "in-brief";
/// Name of the files of the one chart in which environments and variants stand side by side.
pub const KERNELS: &str = "kernels";

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// plotters refused.
    #[error("plot: {0}")]
    Plot(String),
    /// The SVG could not be rasterised.
    #[error("rasterise: {0}")]
    Raster(String),
}

/// The charts of a summary. Where it holds more than one environment, variant or number of endpoints, each has
/// charts of its own, never shared axes; one chart alone puts them side by side, and one is over endpoints.
#[must_use]
pub fn figures(run: &Run, summary: &Summary) -> Vec<Figure> {
    figures_of(run, summary, usize::MAX)
}

/// The same of the first `most` scopes.
#[must_use]
pub fn figures_of(run: &Run, summary: &Summary, most: usize) -> Vec<Figure> {
    let scopes = scopes(summary);
    let (mut figures, mut groups) = (Vec::new(), 0);
    for (index, scope) in scopes.iter().enumerate() {
        // Scopes that differ in their endpoints alone have one chart over these, beside those of the first of them.
        let mut before = scopes[..index].iter();
        let leads = !before.any(|other| other.is_but_for_endpoints(scope));
        groups += usize::from(leads);
        let source = Source {
            run,
            summary,
            scope,
        };
        for chart in registry() {
            let over_endpoints = chart.over == Some(Over::Endpoints);
            let is_drawn = match over_endpoints {
                true => leads && groups <= most,
                false => index < most,
            };
            let Some(mut figure) = is_drawn.then(|| chart.figure(&source)).flatten() else {
                continue;
            };
            chart.name.clone_into(&mut figure.name);
            if index > 0 {
                figure.name.push_str(&format!("-{}", index + 1));
            }
            if are_named(&scopes) {
                let of = match over_endpoints {
                    true => scope.describe_all(),
                    false => scope.describe(),
                };
                figure.title = format!("{} ({of})", figure.title);
            }
            figures.push(figure);
        }
    }
    figures.extend(lists::figures(summary));
    figures.extend(side_by_side(summary));
    figures
}

/// The chart in which environments and variants stand side by side; `None` where there is one of them.
#[must_use]
pub fn side_by_side(summary: &Summary) -> Option<Figure> {
    let mut figure = kernels::figure(summary)?;
    KERNELS.clone_into(&mut figure.name);
    Some(figure)
}

/// The colour of a mode in every chart, as "#rrggbb".
#[must_use]
pub fn color_of(mode: schema::Mode) -> String {
    let [red, green, blue] = mode.row().color;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// An SVG as PNG, on white.
///
/// # Errors
/// [`PlotError::Raster`] when the text is not SVG or has no size.
pub fn png(svg: &str) -> Result<Vec<u8>, PlotError> {
    let raster = |text: String| PlotError::Raster(text);
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(FONT)));
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = usvg::Options {
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| raster(error.to_string()))?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(PNG_SCALE)
        .ok_or_else(|| raster("no size".to_owned()))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| raster("no size".to_owned()))?;
    pixels.fill(tiny_skia::Color::WHITE);
    resvg::render(
        &tree,
        tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE),
        &mut pixels.as_mut(),
    );
    pixels
        .encode_png()
        .map_err(|error| raster(error.to_string()))
}
