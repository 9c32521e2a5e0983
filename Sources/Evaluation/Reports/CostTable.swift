// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// A small table in which a site fills in its volumes and costs. The numbers at the start are examples; the share that
/// needs correction is the one measured.
struct CostTable {
    private let correction: [(name: String, share: Double, seconds: Double)]

    init(_ report: EvaluationReport, names: [String]) {
        correction = zip(names, report.segmenters).filter { !$0.1.isOracle }
            .map { ($0.0, $0.1.needCorrection, $0.1.seconds?.median ?? 0) }
    }

    private static let inputs: [(id: String, title: String, value: String, step: String)] = [
        ("studies", "studies a month", "400", "1"),
        ("cases", "cases in a study (frames, or volumes)", "1", "1"),
        ("manual", "minutes to outline a case by hand", "8", "0.1"),
        ("review", "minutes to review an answer", "1.5", "0.1"),
        ("correct", "more minutes to correct one", "4", "0.1"),
        ("wage", "cost of an hour of the reader", "90", "1"),
        ("fixed", "fixed cost a month (machine, upkeep)", "500", "1"),
    ]

    private static let outputs: [(id: String, title: String)] = [
        ("minutes", "reader's minutes a study, with Kontur"), ("saved", "hours saved a month"),
        ("before", "cost a study by hand"), ("after", "cost a study with Kontur, fixed cost included"),
        ("gain", "saved a month"), ("even", "studies a month from which it pays"),
        ("limit", "share needing correction up to which it pays"), ("machine", "hours of computing a month"),
    ]

    /// Empty without a segmenter that works by itself.
    var html: String {
        guard !correction.isEmpty else { return "" }
        let options = correction.enumerated().map { number, entry in
            "<option value=\"\(number)\">\(Markup.escaped(entry.name)): \(Markup.percent(entry.share)) need correction</option>"
        }.joined()
        let fields = Self.inputs.map { field in
            "<tr><th scope=\"row\"><label for=\"in-\(field.id)\">\(field.title)</label></th><td><input id=\"in-\(field.id)\" type=\"number\" min=\"0\" step=\"\(field.step)\" value=\"\(field.value)\"></td></tr>"
        }.joined()
        let results = Self.outputs.map { field in
            "<tr><th scope=\"row\">\(field.title)</th><td><output id=\"out-\(field.id)\"></output></td></tr>"
        }.joined()
        return """
            <p>Fill in what holds at this site: everything is computed on this page and goes nowhere. The share that needs correction is the measured one, and every answer is reviewed.</p>
            <p><label>Segmenter <select id="in-segmenter">\(options)</select></label></p>
            <div class="grid costs"><table><tbody>\(fields)</tbody></table><table><tbody>\(results)</tbody></table></div>
            <noscript><p>This table needs scripts, which are switched off.</p></noscript>
            <script>\(script)</script>
            """
    }

    private var script: String {
        let shares = correction.map { String(format: "%.6f", $0.share) }.joined(separator: ",")
        let seconds = correction.map { String(format: "%.3f", $0.seconds) }.joined(separator: ",")
        return """
            (function(){
            const shares=[\(shares)],seconds=[\(seconds)];
            const field=id=>document.getElementById("in-"+id);
            const value=id=>Math.max(0,parseFloat(field(id).value)||0);
            const show=(id,text)=>{document.getElementById("out-"+id).textContent=text};
            const number=(x,digits)=>x.toLocaleString("en",{minimumFractionDigits:digits,maximumFractionDigits:digits});
            function update(){
              const chosen=parseInt(field("segmenter").value)||0,share=shares[chosen];
              const n=value("studies"),each=value("cases"),minute=value("wage")/60,fixed=value("fixed");
              const byHand=each*value("manual"),minutes=each*(value("review")+share*value("correct"));
              const gainEach=(byHand-minutes)*minute;
              show("minutes",number(minutes,1));
              show("saved",number(n*(byHand-minutes)/60,1));
              show("before",number(byHand*minute,2));
              show("after",n>0?number(minutes*minute+fixed/n,2):"");
              show("gain",number(n*gainEach-fixed,0));
              show("even",gainEach>0?number(Math.ceil(fixed/gainEach),0):"never");
              const per=n*each*value("correct")*minute;
              const limit=per>0?(n*each*(value("manual")-value("review"))*minute-fixed)/per:NaN;
              show("limit",isNaN(limit)?"":limit<0?"never":number(100*Math.min(1,limit),0)+"%");
              show("machine",number(n*each*seconds[chosen]/3600,2));
            }
            document.querySelectorAll("input,select").forEach(e=>e.addEventListener("input",update));
            update();
            })();
            """
    }
}
