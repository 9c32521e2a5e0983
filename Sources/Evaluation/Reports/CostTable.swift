// SPDX-License-Identifier: Apache-2.0

internal import Foundation
internal import Imaging

/// A table in which a site enters its volumes and costs.
///
/// The share of results that need correction was measured. The other initial numbers are examples.
struct CostTable {
    private let correction: [(name: String, share: Double, seconds: Double)]

    init(_ report: EvaluationReport, names: [String]) {
        correction = zip(names, report.segmenters).filter { !$0.1.isOracle }
            .map { ($0.0, $0.1.needCorrection, $0.1.seconds?.median ?? 0) }
    }

    private static let inputs: [(id: String, title: String, value: String, step: String)] = [
        ("studies", "studies per month", "400", "1"),
        ("cases", "cases per study (frames or volumes)", "1", "1"),
        ("manual", "minutes to outline one case by hand", "8", "0.1"),
        ("review", "minutes to review one result", "1.5", "0.1"),
        ("correct", "extra minutes to correct one result", "4", "0.1"),
        ("wage", "cost of one hour of the reader", "90", "1"),
        ("fixed", "fixed cost per month (machine, maintenance)", "500", "1"),
    ]

    private static let outputs: [(id: String, title: String)] = [
        ("minutes", "reader's minutes per study with Kontur"), ("saved", "reader's hours saved per month"),
        ("before", "cost per study by hand"), ("after", "cost per study with Kontur, including the fixed cost"),
        ("gain", "cost saved per month"), ("even", "studies per month at which Kontur starts to save cost"),
        ("limit", "largest share of corrections at which Kontur saves cost"),
        ("machine", "hours of computing per month"),
    ]

    /// The table and its script; empty without a segmenter that works without a truth box.
    var html: String {
        guard !correction.isEmpty else { return "" }
        let options = correction.enumerated().map { number, entry in
            "<option value=\"\(number)\">\(Markup.escaped(entry.name)): \(Markup.percent(entry.share)) of results need correction</option>"
        }.joined()
        let fields = Self.inputs.map { field in
            "<tr><th scope=\"row\"><label for=\"in-\(field.id)\">\(field.title)</label></th><td><input id=\"in-\(field.id)\" type=\"number\" min=\"0\" step=\"\(field.step)\" value=\"\(field.value)\"></td></tr>"
        }.joined()
        let results = Self.outputs.map { field in
            "<tr><th scope=\"row\">\(field.title)</th><td><output id=\"out-\(field.id)\"></output></td></tr>"
        }.joined()
        return """
            <p>Enter the numbers of your site. This page computes the results and does not send them anywhere. The share of results that need correction was measured. The calculation assumes that a reader reviews every result.</p>
            <p><label>Segmenter <select id="in-segmenter">\(options)</select></label></p>
            <div class="grid costs"><table><tbody>\(fields)</tbody></table><table><tbody>\(results)</tbody></table></div>
            <noscript><p>This table needs JavaScript, which is switched off.</p></noscript>
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
