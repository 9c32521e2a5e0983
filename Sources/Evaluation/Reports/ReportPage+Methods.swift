// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

extension ReportPage {
    // MARK: methods

    var methods: String {
        let settings = report.settings
        let items = [
            "Cases: a case is a frame or a volume. Each score compares the truth with the binary mask "
                + "that Kontur sends. Means are over cases. If truth and result are both empty, the score is 1."
                + " If only one of them is empty, the score is 0 and surface distances do not exist.",
            "Frame scores: the weighted F-measure follows Margolin 2014 (beta 1), the S-measure Fan 2017 "
                + "(alpha 0.5) and the E-measure Fan 2018. The E-measure over thresholds follows PraNet's "
                + "evaluation: 256 thresholds from 0 to 1, where the result at threshold 0 fills the frame. The"
                + " largest value is that of the mean curve. The mean absolute error is over pixels.",
            "Surface distances: as in medpy 0.5 (hd95, asd from result to truth, assd), in mm with the "
                + "spacing of the images.",
            "Intervals: percentile bootstrap over cases with \(settings.resampling.draws) draws and the "
                + "seed \(settings.resampling.seed). Comparisons use the bootstrap of the differences, a "
                + "two-sided sign-flip test and Wilcoxon's signed-rank test. The p values are not corrected for"
                + " the number of comparisons.",
            "Properties of cases: sharpness is the gradient of brightness across the true edge, per "
                + "pixel. Contrast is the distance between the mean colours of the structure and of its "
                + "surroundings, up to a tenth of the square root of its area away. Highlights are pixels "
                + "brighter than 0.9 in all colours. Size is a fraction of the frame, or millilitres in a "
                + "volume. Brightness is a fraction of the image's range.",
            "Time and memory: seconds count from the request to the answer of one worker and include "
                + "decoding. Memory is the largest resident memory of the worker process.",
        ]
        let rows = report.segmenters.enumerated().map { number, summary in
            [
                Markup.escaped(names[number]), Markup.escaped(summary.descriptor.version),
                "<code>\(Markup.escaped(String(summary.descriptor.weightsHash.prefix(16))))…</code>",
                Markup.escaped(summary.descriptor.licence), Markup.escaped(summary.descriptor.paper),
            ]
        }
        let failed = report.segmenters.enumerated().flatMap { number, summary in
            summary.failures.prefix(20).map { "\(names[number]), \($0.caseID): \($0.reason)" }
        }
        return "<ul>\(items.map { "<li>\(Markup.escaped($0))</li>" }.joined())</ul>"
            + Markup.table(
                ["segmenter", "version", "weights (SHA-256)", "terms of use", "published method"], rows, words: 5,
                style: "words")
            + (failed.isEmpty
                ? ""
                : "<h3>Failed cases</h3><ul>\(failed.map { "<li>\(Markup.escaped($0))</li>" }.joined())</ul>")
    }

    /// The style sheet of the page.
    static let style = """
        :root{color-scheme:light;--ink:#1b2733;--soft:#5a6572;--line:#d8dde3;--paper:#fff}
        *{box-sizing:border-box}body{margin:0;background:#f4f6f8;color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
        header,main{max-width:1080px;margin:0 auto;padding:0 20px}header{padding-top:20px}
        .warning{background:#fff3cd;border:1px solid #e0c36a;border-radius:6px;padding:8px 12px;margin:0 0 16px;font-weight:600}
        h1{font-size:26px;margin:.2em 0}h2{font-size:19px;margin:0 0 .6em}h3{font-size:15px;margin:1.2em 0 .4em}
        section{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:18px 20px;margin:16px 0}
        .scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4em 0}
        th,td{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;white-space:nowrap}
        th:first-child,.word{text-align:left}thead th{white-space:normal;vertical-align:bottom;color:var(--soft);font-weight:600;font-size:13px}tbody th{font-weight:500;white-space:normal}
        td small,p small{color:var(--soft)}figure{margin:10px 0}figcaption{color:var(--soft);font-size:13px}
        svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,"DejaVu Sans",sans-serif;fill:#3a4653}
        .grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:6px 22px}
        .pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:10px}.pictures img{width:100%;height:auto;border-radius:4px;display:block;background:#000}
        .pictures figure{margin:0;overflow-wrap:anywhere}
        .legend{margin:.2em 0;font-size:13px;color:var(--soft)}.legend span{margin-right:16px}.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:5px;vertical-align:-1px}
        .heat td{padding:1px;border:0}.heat td span{display:block;padding:6px 10px;min-width:58px;text-align:center;border-radius:3px}
        input,select{font:inherit;padding:4px 6px;border:1px solid #b8c0c9;border-radius:4px;width:110px;text-align:right}select{width:auto;text-align:left}
        .grid.costs{grid-template-columns:repeat(auto-fill,minmax(400px,1fr))}.costs td,.costs th{vertical-align:middle}.words td:nth-child(n+4){white-space:normal;min-width:200px}output{font-weight:600}details{margin:.6em 0}summary{cursor:pointer}
        @media print{body{background:#fff}section{break-inside:avoid;border:0;padding:0}}
        """
}
