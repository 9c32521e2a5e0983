// SPDX-License-Identifier: Apache-2.0

import Routing
import Testing

/// A value of one condition, and facts for each outcome.
///
/// A condition whose attribute is never missing does not have undetermined facts.
struct ConditionExercise: Sendable {
    let value: ConfigurationValue
    let matched: StackFacts
    let notMatched: StackFacts
    let undetermined: StackFacts?
    /// The reasons if the condition matches, and if it does not.
    let reasons: (matched: String, notMatched: String)
}

/// Every condition passes the same tests, from one table.
@Suite struct ConditionTests {
    static func facts(_ change: (inout StackFacts) -> Void) -> StackFacts {
        var facts = StackFacts(numberOfInstances: 1)
        change(&facts)
        return facts
    }

    static func texts(_ texts: String...) -> ConfigurationValue { .list(texts.map { .text($0) }) }
    static func matches(_ pattern: String) -> ConfigurationValue { .map([.init("matches", .text(pattern))]) }
    static let nothing = StackFacts(numberOfInstances: 1)

    static let exercises: [String: ConditionExercise] = [
        "modality": ConditionExercise(
            value: texts("ES", "XC"), matched: facts { $0.modality = "ES" }, notMatched: facts { $0.modality = "MR" },
            undetermined: nothing,
            reasons: ("Modality is \"ES\", one of ES, XC", "Modality is \"MR\", none of ES, XC")),
        "sopClass": ConditionExercise(
            value: texts("MRImageStorage", "1.2.3"), matched: facts { $0.sopClassUID = "1.2.3" },
            notMatched: facts { $0.sopClassUID = "1.2.840.10008.5.1.4.1.1.2" }, undetermined: nothing,
            reasons: ("SOP class is 1.2.3", "SOP class is CTImageStorage, not MRImageStorage or 1.2.3")),
        "bodyPart": ConditionExercise(
            value: .text("HEART"), matched: facts { $0.bodyPart = " heart " },
            notMatched: facts { $0.bodyPart = "COLON" },
            undetermined: facts { $0.bodyPart = "  " },
            reasons: ("Body Part Examined is \"heart\"", "Body Part Examined is \"COLON\", not HEART")),
        "studyDescription": ConditionExercise(
            value: matches("(?i)colo"), matched: facts { $0.studyDescription = "Colonoscopy" },
            notMatched: facts { $0.studyDescription = "Gastroscopy" }, undetermined: nothing,
            reasons: (
                "Study Description is \"Colonoscopy\", which matches (?i)colo",
                "Study Description is \"Gastroscopy\", which does not match (?i)colo"
            )),
        "seriesDescription": ConditionExercise(
            value: matches("LGE|PSIR"), matched: facts { $0.seriesDescription = "3D LGE" },
            notMatched: facts { $0.seriesDescription = "CINE" }, undetermined: nothing,
            reasons: (
                "Series Description is \"3D LGE\", which matches LGE|PSIR",
                "Series Description is \"CINE\", which does not match LGE|PSIR"
            )),
        "imageType": ConditionExercise(
            value: texts("LOCALIZER"), matched: facts { $0.imageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"] },
            notMatched: facts { $0.imageType = ["ORIGINAL", "PRIMARY"] }, undetermined: nil,
            reasons: (
                "Image Type is \"ORIGINAL\\PRIMARY\\LOCALIZER\"", "Image Type is \"ORIGINAL\\PRIMARY\", not LOCALIZER"
            )),
        "manufacturer": ConditionExercise(
            value: matches("(?i)^siemens"), matched: facts { $0.manufacturer = "SIEMENS Healthineers" },
            notMatched: facts { $0.manufacturer = "GE MEDICAL SYSTEMS" }, undetermined: nothing,
            reasons: (
                "Manufacturer is \"SIEMENS Healthineers\", which matches (?i)^siemens",
                "Manufacturer is \"GE MEDICAL SYSTEMS\", which does not match (?i)^siemens"
            )),
        "callingAeTitle": ConditionExercise(
            value: texts("ENDO1"), matched: facts { $0.callingAETitles = ["ARCHIVE", "ENDO1"] },
            notMatched: facts { $0.callingAETitles = ["ARCHIVE"] }, undetermined: nothing,
            reasons: ("calling AE title is \"ARCHIVE\\ENDO1\"", "calling AE title is \"ARCHIVE\", not ENDO1")),
        "mrAcquisitionType": ConditionExercise(
            value: texts("3D"), matched: facts { $0.mrAcquisitionType = "3D" },
            notMatched: facts { $0.mrAcquisitionType = "2D" }, undetermined: nothing,
            reasons: ("MR Acquisition Type is \"3D\"", "MR Acquisition Type is \"2D\", not 3D")),
        "sliceSpacing": ConditionExercise(
            value: .map([.init("min", .text("0.5")), .init("max", .text("3"))]),
            matched: facts { $0.sliceSpacing = 3 }, notMatched: facts { $0.sliceSpacing = 3.0125 },
            undetermined: nothing,
            reasons: (
                "slice spacing is 3 mm, at least 0.5 and at most 3 mm", "slice spacing is 3.013 mm, more than 3 mm"
            )),
        "numberOfInstances": ConditionExercise(
            value: .map([.init("min", .text("20"))]), matched: StackFacts(numberOfInstances: 20),
            notMatched: StackFacts(numberOfInstances: 19), undetermined: nil,
            reasons: ("number of instances is 20, at least 20", "number of instances is 19, less than 20")),
        "numberOfFrames": ConditionExercise(
            value: .map([.init("min", .text("20"))]),
            matched: StackFacts(numberOfInstances: 1, numberOfFrames: 20),
            notMatched: StackFacts(numberOfInstances: 20, numberOfFrames: 19), undetermined: nil,
            reasons: ("number of frames is 20, at least 20", "number of frames is 19, less than 20")),
        "not": ConditionExercise(
            value: .map([.init("modality", .text("MR"))]), matched: facts { $0.modality = "CT" },
            notMatched: facts { $0.modality = "MR" }, undetermined: nothing,
            reasons: ("Modality is \"CT\", not MR", "Modality is \"MR\"")),
    ]

    @Test func `the table has an exercise for every condition and for nothing else`() {
        #expect(Set(Self.exercises.keys) == Set(RouteConditions.all.map { $0.key }))
        #expect(Set(RouteConditions.all.map { $0.key }).count == RouteConditions.all.count)
    }

    @Test(arguments: RouteConditions.all.map { $0.key })
    func `a condition matches, does not match, or cannot tell, and says why`(_ key: String) throws {
        let exercise = try #require(Self.exercises[key])
        let condition = try #require(RouteConditions.named(key)).condition(exercise.value)
        #expect(condition.evaluate(exercise.matched) == ConditionResult(.matched, exercise.reasons.matched))
        #expect(condition.evaluate(exercise.notMatched) == ConditionResult(.notMatched, exercise.reasons.notMatched))
        if let facts = exercise.undetermined {
            let result = condition.evaluate(facts)
            #expect(result.outcome == .undetermined)
            #expect(result.reason.hasSuffix("is missing") || result.reason.hasSuffix("is not known"))
        }
    }

    @Test(arguments: RouteConditions.all.map { $0.key })
    func `not turns every outcome round, and cannot tell what its condition cannot`(_ key: String) throws {
        let exercise = try #require(Self.exercises[key])
        let not = try #require(RouteConditions.named("not"))
            .condition(.map([.init(key, exercise.value)]))
        #expect(not.evaluate(exercise.matched).outcome == .notMatched)
        #expect(not.evaluate(exercise.notMatched).outcome == .matched)
        if let facts = exercise.undetermined { #expect(not.evaluate(facts).outcome == .undetermined) }
    }

    @Test(
        arguments: RouteConditions.all.map { $0.key },
        [ConfigurationValue.empty, .list([]), .map([]), .list([.list([])])])
    func `a condition refuses a value that is none`(_ key: String, _ value: ConfigurationValue) throws {
        let kind = try #require(RouteConditions.named(key))
        #expect(throws: ConditionProblems.self) { _ = try kind.condition(value) }
        #expect(!kind.form.isEmpty)
    }

    @Test func `several errors in one set are all reported, each with its place`() throws {
        let value = ConfigurationValue.map([
            .init("modalty", .text("ES")),
            .init("studyDescription", Self.matches("(colo")),
            .init("numberOfInstances", .map([.init("min", .text("many")), .init("mx", .text("3"))])),
            .init("modality", .list([.text("ES"), .text(" ")])),
            .init("sopClass", .list([.text("MRImageStorag")])),
            .init("not", .list([.map([.init("shoeSize", .text("43"))])])),
        ]).placed()
        let error = #expect(throws: ConditionProblems.self) { try ConditionSet(value) }
        func problem(_ path: String, _ reason: String) -> ConditionProblem {
            ConditionProblem(at: ConfigurationPlace(path: path), reason)
        }
        #expect(
            error?.problems == [
                problem("modalty", "unknown condition 'modalty'; did you mean 'modality'?"),
                problem("studyDescription.matches", "at character 1 of the pattern: this group is never closed"),
                problem("numberOfInstances.min", "expected a number, 0 or more"),
                problem("numberOfInstances.mx", "unknown key 'mx'; did you mean 'max'?"),
                problem("modality[1]", "an empty text is never equal to an attribute"),
                problem("sopClass[0]", "unknown SOP class 'MRImageStorag'; did you mean 'MRImageStorage'?"),
                problem(
                    "not[0].shoeSize",
                    "unknown condition 'shoeSize'; known are modality, bodyPart, studyDescription, seriesDescription, "
                        + "imageType, manufacturer, callingAeTitle, mrAcquisitionType, sliceSpacing, "
                        + "numberOfInstances, numberOfFrames, sopClass, not"),
            ])
    }

    @Test func `a range with the larger number first is refused`() throws {
        let value = ConfigurationValue.map([.init("min", .text("5")), .init("max", .text("2"))])
        let error = #expect(throws: ConditionProblems.self) {
            _ = try #require(RouteConditions.named("sliceSpacing")).condition(value)
        }
        #expect(error?.description == "min is larger than max, so nothing can match")
    }
}

extension ConfigurationValue {
    /// The same value with the paths that a file would give it.
    func placed(_ path: String = "") -> ConfigurationValue {
        let place = ConfigurationPlace(path: path)
        switch content {
        case .text, .empty: return ConfigurationValue(content, at: place)
        case .list(let values):
            return ConfigurationValue(.list(values.enumerated().map { $1.placed("\(path)[\($0)]") }), at: place)
        case .map(let entries):
            let placed = entries.map { entry in
                let child = path.isEmpty ? entry.key : "\(path).\(entry.key)"
                return Entry(entry.key, at: ConfigurationPlace(path: child), entry.value.placed(child))
            }
            return ConfigurationValue(.map(placed), at: place)
        }
    }
}
