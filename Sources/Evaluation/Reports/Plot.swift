// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// A plot with two linear axes as inline SVG.
struct Plot {
    /// Colours that colour-blind people can distinguish (Okabe and Ito).
    static let colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d3a9b", "#666666"]

    /// The colour of the segmenter with this index.
    static func colour(_ number: Int) -> String { colours[number % colours.count] }

    var width = 460.0
    var height = 300.0
    let x: ClosedRange<Double>
    let y: ClosedRange<Double>
    private let title: String
    private var parts: [String] = []
    private let left = 54.0
    private let bottom = 44.0
    private let top = 14.0
    private let right = 14.0

    /// An empty plot.
    ///
    /// Screen readers read its title.
    init(_ title: String, x: ClosedRange<Double>, y: ClosedRange<Double>, width: Double = 460, height: Double = 300) {
        self.title = title
        self.x = x
        self.y = y
        self.width = width
        self.height = height
    }

    /// Pixels of the drawing for a point of the plot.
    private func place(_ px: Double, _ py: Double) -> (x: Double, y: Double) {
        let across = (px - x.lowerBound) / max(x.upperBound - x.lowerBound, 1e-12)
        let up = (py - y.lowerBound) / max(y.upperBound - y.lowerBound, 1e-12)
        return (left + across * (width - left - right), height - bottom - up * (height - bottom - top))
    }

    private static func n(_ value: Double) -> String { String(format: "%.1f", value) }

    /// Draws axes with ticks.
    ///
    /// Names replace the numbers of the x axis.
    mutating func axes(x xTitle: String, xTicks: [Double], y yTitle: String, yTicks: [Double], names: [String]? = nil) {
        for (number, tick) in xTicks.enumerated() {
            let at = place(tick, y.lowerBound)
            if names == nil { line((tick, y.lowerBound), (tick, y.upperBound), colour: "#e3e6ea") }
            text(names?[number] ?? Self.short(tick), at.x, at.y + 16, anchor: "middle")
        }
        for tick in yTicks {
            let at = place(x.lowerBound, tick)
            line((x.lowerBound, tick), (x.upperBound, tick), colour: "#e3e6ea")
            text(Self.short(tick), at.x - 7, at.y + 4, anchor: "end")
        }
        line((x.lowerBound, y.lowerBound), (x.upperBound, y.lowerBound), colour: "#5a6572")
        line((x.lowerBound, y.lowerBound), (x.lowerBound, y.upperBound), colour: "#5a6572")
        text(xTitle, left + (width - left - right) / 2, height - 8, anchor: "middle")
        let middle = top + (height - top - bottom) / 2
        parts.append(
            "<text x=\"14\" y=\"\(Self.n(middle))\" text-anchor=\"middle\" transform=\"rotate(-90 14 \(Self.n(middle)))\">\(Markup.escaped(yTitle))</text>"
        )
    }

    /// A number with up to two digits after the point.
    static func short(_ value: Double) -> String {
        let text = String(format: "%.2f", value)
        return text.hasSuffix(".00") ? String(text.dropLast(3)) : text.hasSuffix("0") ? String(text.dropLast()) : text
    }

    /// Draws a line between two points of the plot.
    mutating func line(
        _ a: (Double, Double), _ b: (Double, Double), colour: String, width: Double = 1, dashes: String? = nil
    ) {
        let (p, q) = (place(a.0, a.1), place(b.0, b.1))
        let dash = dashes.map { " stroke-dasharray=\"\($0)\"" } ?? ""
        parts.append(
            "<line x1=\"\(Self.n(p.x))\" y1=\"\(Self.n(p.y))\" x2=\"\(Self.n(q.x))\" y2=\"\(Self.n(q.y))\" stroke=\"\(colour)\" stroke-width=\"\(width)\"\(dash)/>"
        )
    }

    /// Draws a curve through points of the plot.
    mutating func curve(_ points: [(Double, Double)], colour: String, dashes: String? = nil) {
        let text = points.map { point -> String in
            let at = place(point.0, point.1)
            return "\(Self.n(at.x)),\(Self.n(at.y))"
        }.joined(separator: " ")
        let dash = dashes.map { " stroke-dasharray=\"\($0)\"" } ?? ""
        parts.append("<polyline points=\"\(text)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"\(dash)/>")
    }

    /// Draws a dot with an optional tooltip.
    mutating func dot(
        _ px: Double, _ py: Double, radius: Double = 3.5, colour: String, opacity: Double = 1, tip: String = ""
    ) {
        let at = place(px, py)
        let title = tip.isEmpty ? "" : "<title>\(Markup.escaped(tip))</title>"
        parts.append(
            "<circle cx=\"\(Self.n(at.x))\" cy=\"\(Self.n(at.y))\" r=\"\(Self.n(radius))\" fill=\"\(colour)\" fill-opacity=\"\(opacity)\">\(title)</circle>"
        )
    }

    /// Draws a mean with its interval.
    mutating func whisker(_ px: Double, _ estimate: Estimate, colour: String) {
        line((px, estimate.low), (px, estimate.high), colour: colour, width: 2)
        dot(px, estimate.mean, radius: 4.5, colour: colour, tip: Markup.number(estimate.mean))
    }

    private mutating func text(_ text: String, _ px: Double, _ py: Double, anchor: String) {
        parts.append(
            "<text x=\"\(Self.n(px))\" y=\"\(Self.n(py))\" text-anchor=\"\(anchor)\">\(Markup.escaped(text))</text>")
    }

    /// The drawing as SVG.
    var svg: String {
        "<svg viewBox=\"0 0 \(Self.n(width)) \(Self.n(height))\" role=\"img\" aria-label=\"\(Markup.escaped(title))\" style=\"max-width:\(Int(width))px\">"
            + parts.joined() + "</svg>"
    }

    /// A legend that explains the colours, as HTML.
    static func legend(_ names: [String]) -> String {
        "<p class=\"legend\">"
            + names.enumerated().map { "<span><i style=\"background:\(colour($0))\"></i>\(Markup.escaped($1))</span>" }
            .joined() + "</p>\n"
    }
}
