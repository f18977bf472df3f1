//! The plots of docs/performance.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::report::number;
use super::row::{Curve, Results, Row};
use super::start::PART;

/// The folder of the plots.
pub(crate) const FOLDER: &str = "docs/plots";
/// Size in pixels.
const SIZE: (u32, u32) = (720, 320);
/// Dark and saturated enough for both a white and a black page around the white plot.
const COLORS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x5f, 0x00),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0xc0, 0x20, 0x30),
    RGBColor(0x70, 0x70, 0x70),
];

/// A plot of lines.
struct Lines {
    name: &'static str,
    x: &'static str,
    y: &'static str,
    is_log: bool,
}

const LINES: [Lines; 3] = [
    Lines { name: "processor", x: "events per second", y: "% of a core", is_log: true },
    Lines {
        name: "latency",
        x: "ms from the kernel to the line",
        y: "% of the events",
        is_log: false,
    },
    Lines {
        name: "growth",
        x: "number, as a multiple of the smallest",
        y: "µs for an event",
        is_log: true,
    },
];

/// All plots of a run, by path.
pub(super) fn plots(results: &Results) -> Result<BTreeMap<PathBuf, String>> {
    let mut plots = BTreeMap::new();
    let mut add =
        |name: &str, svg| plots.insert(Path::new(FOLDER).join(format!("{name}.svg")), svg);
    for lines in &LINES {
        let curves: Vec<&Curve> =
            results.curves.iter().filter(|curve| curve.plot == lines.name).collect();
        if !curves.is_empty() {
            let svg = lines.draw(&curves).with_context(|| format!("plot {}", lines.name))?;
            add(lines.name, svg);
        }
    }
    let parts: Vec<&Row> = results.rows.iter().filter(|row| row.what.starts_with(PART)).collect();
    if !parts.is_empty() {
        add("start", bars(&parts).context("plot start")?);
    }
    Ok(plots)
}

impl Lines {
    fn draw(&self, curves: &[&Curve]) -> Result<String> {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let x_max = most(&mut points().map(|(x, _)| *x));
        let y_max = most(&mut points().map(|(_, y)| *y)) * 1.05;
        if self.is_log {
            let x_min = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
            self.draw_on((x_min..x_max * 1.02).log_scale(), 0.0..y_max, curves)
        } else {
            self.draw_on(0.0..x_max, 0.0..y_max, curves)
        }
    }

    fn draw_on<X>(&self, x: X, y: std::ops::Range<f64>, curves: &[&Curve]) -> Result<String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(failed)?;
            let mut chart = ChartBuilder::on(&area)
                .margin(12)
                .x_label_area_size(44)
                .y_label_area_size(56)
                .build_cartesian_2d(x, y)
                .map_err(failed)?;
            chart
                .configure_mesh()
                .x_desc(self.x)
                .y_desc(self.y)
                .x_label_formatter(&|x| number(*x))
                .y_label_formatter(&|y| number(*y))
                .label_style(("sans-serif", 13))
                .light_line_style(TRANSPARENT)
                .draw()
                .map_err(failed)?;
            for (curve, color) in curves.iter().zip(COLORS.into_iter().cycle()) {
                let line = LineSeries::new(curve.points.iter().copied(), color.stroke_width(2));
                chart.draw_series(line).map_err(failed)?.label(&curve.name).legend(
                    move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)),
                );
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .label_font(("sans-serif", 13))
                .draw()
                .map_err(failed)?;
            area.present().map_err(failed)?;
        }
        Ok(svg)
    }
}

/// One bar for each row.
fn bars(rows: &[&Row]) -> Result<String> {
    let most = rows.iter().map(|row| row.value).fold(0.0, f64::max) * 1.1;
    let count = i32::try_from(rows.len())?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(190)
            .build_cartesian_2d(0.0..most, (0..count - 1).into_segmented())
            .map_err(failed)?;
        let name = |at: &SegmentValue<i32>| match at {
            SegmentValue::CenterOf(at) => {
                let row = usize::try_from(count - 1 - at).ok().and_then(|at| rows.get(at));
                row.map_or_else(String::new, |row| row.what.replacen(PART, "", 1))
            }
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .x_desc("ms")
            .y_labels(rows.len())
            .y_label_formatter(&name)
            .x_label_formatter(&|x| number(*x))
            .label_style(("sans-serif", 13))
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(failed)?;
        let bars = rows.iter().zip((0..count).rev()).map(|(row, at)| {
            let corners =
                [(0.0, SegmentValue::Exact(at)), (row.value, SegmentValue::Exact(at + 1))];
            let mut bar = Rectangle::new(corners, COLORS[0].filled());
            bar.set_margin(4, 4, 0, 0);
            bar
        });
        chart.draw_series(bars).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_show_their_curves_and_bars() {
        let curve = Curve::new("growth", "files", vec![(1.0, 2.0), (10.0, 2.5), (100.0, 3.0)]);
        let svg = LINES[2].draw(&[&curve]).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.contains("files") && svg.contains("polyline"),
            "{svg}"
        );
        let parts = ["start: plugins", "start: attaching"].map(|what| Row::new(what, 3.0, "ms"));
        let svg = bars(&parts.iter().collect::<Vec<_>>()).unwrap();
        assert!(svg.contains("plugins") && svg.contains("attaching"), "{svg}");
    }
}
