// SPDX-License-Identifier: Apache-2.0

/// References to sources and predecessors: PS3.3 C.12.2 (Common Instance Reference), C.17.2.1.
enum InstanceReferences {
    /// The series of this study: the sources first, because OHIF reads only the first item, then predecessors.
    static func ofStudy(_ context: ObjectContext) -> [ItemElements] {
        let sources = ItemElements([
            (
                .referencedInstanceSequence,
                .items(context.sources.map { instance($0.sopClassUID, $0.sopInstanceUID) })
            ),
            (.seriesInstanceUID, .text(context.first.seriesInstanceUID)),
        ])
        let predecessors = context.description.predecessors
            .filter { $0.studyInstanceUID == context.first.studyInstanceUID }
        return [sources] + bySeries(predecessors, instances: .referencedInstanceSequence)
    }

    /// The predecessors in other studies.
    static func ofOtherStudies(_ context: ObjectContext) -> [ItemElements] {
        let others = context.description.predecessors
            .filter { $0.studyInstanceUID != context.first.studyInstanceUID }
        return byStudy(others, instances: .referencedInstanceSequence)
    }

    /// All predecessors, for Predecessor Documents Sequence.
    static func predecessors(_ context: ObjectContext) -> [ItemElements] {
        byStudy(context.description.predecessors, instances: .referencedSOPSequence)
    }

    /// Groups references by study and series.
    static func byStudy(_ references: [InstanceReference], instances: Attribute) -> [ItemElements] {
        grouped(references, by: \.studyInstanceUID).map { study, members in
            ItemElements([
                (.referencedSeriesSequence, .items(bySeries(members, instances: instances))),
                (.studyInstanceUID, .text(study)),
            ])
        }
    }

    private static func bySeries(_ references: [InstanceReference], instances: Attribute) -> [ItemElements] {
        grouped(references, by: \.seriesInstanceUID).map { series, members in
            ItemElements([
                (instances, .items(members.map { instance($0.sopClassUID, $0.sopInstanceUID) })),
                (.seriesInstanceUID, .text(series)),
            ])
        }
    }

    /// Groups in the order of their first members, so that the same references give the same bytes.
    private static func grouped(
        _ references: [InstanceReference], by key: (InstanceReference) -> String
    ) -> [(String, [InstanceReference])] {
        var groups: [(String, [InstanceReference])] = []
        for reference in references {
            if let index = groups.firstIndex(where: { $0.0 == key(reference) }) {
                groups[index].1.append(reference)
            } else {
                groups.append((key(reference), [reference]))
            }
        }
        return groups
    }

    private static func instance(_ sopClass: String, _ sopInstance: String) -> ItemElements {
        ItemElements([(.referencedSOPClassUID, .text(sopClass)), (.referencedSOPInstanceUID, .text(sopInstance))])
    }
}
