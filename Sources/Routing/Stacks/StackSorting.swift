// SPDX-License-Identifier: Apache-2.0

import DICOM
import Imaging

/// Sorts the frames of one series into stacks.
enum StackSorting {
    /// A group of frames on its way to a stack.
    private struct Group {
        var traits: StackTraits
        var members: [StackMember]
        var rest = StackTraits.Rest()
        var framesOfReference = 1
        /// The attribute that tells this volume from another at the same place, and the number of the volume from 0.
        var phase: StackPhase?
    }

    /// - Parameter headers: images of one series, in any order.
    /// - Returns: the stacks, ordered by the lowest Instance Number in each.
    static func stacks(ofSeries headers: [InstanceHeader]) -> [Stack] {
        let members = headers.flatMap(StackMember.members)
        let byTraits = Dictionary(grouping: members) { StackTraits($0.header) }
        let found = byTraits.flatMap { traits, members in groups(of: traits, members) }
        var uses: [String: Int] = [:]
        var sorted: [(stack: Stack, phase: StackPhase?)] = []
        // Orientations that differ by less than the key's rounding get a number, in the order of their first slices.
        let ordered = found.compactMap { group in group.members.min(by: StackMember.isBefore).map { (group, $0) } }
            .sorted { StackMember.isBefore($0.1, $1.1) }
        for (group, _) in ordered {
            let text = group.traits.key(group.rest)
            let use = uses[text, default: 0] + 1
            uses[text] = use
            let stack = Stack(
                key: use == 1 ? text : "\(text)-\(use)", members: group.members,
                framesOfReference: group.framesOfReference)
            sorted.append((stack, group.phase))
        }
        return labelled(
            sorted.map { ($0.stack, $0.phase) })
    }

    private static func labelled(_ stacks: [(Stack, StackPhase?)]) -> [Stack] {
        let split = StackSplit.text(stacks)
        return stacks.enumerated().map { ordinal, pair in
            var stack = pair.0
            stack.split = split
            stack.label = SeriesLabel(of: stack, ordinal: ordinal, among: stacks.map(\.0))
            return stack
        }
    }

    // MARK: Steps

    /// Parts frames with equal traits by everything that is compared with a tolerance.
    private static func groups(of traits: StackTraits, _ members: [StackMember]) -> [Group] {
        guard traits.hasPlane else { return [Group(traits: traits, members: members)] }
        return clusters(members) { $0.hasSpacing(of: $1) }.flatMap { members in
            let pixelSpacing = mostFrequentSpacing(members)
            return clusters(members) { $0.isOfEcho(of: $1) }.flatMap { echo in
                clusters(echo) { $0.isParallel(to: $1) }.flatMap { parallel -> [Group] in
                    var group = Group(traits: traits, members: parallel)
                    group.rest.pixelSpacing = pixelSpacing
                    group.rest.echoTime = echo[0].header.credibleEchoTime
                    group.rest.orientation = parallel[0].header.plane
                    return byFrameOfReference(group).flatMap(byPhase)
                }
            }
        }
    }

    /// Parts a group by its frames of reference.
    ///
    /// If most slices name one of their own, as some de-identifiers write them, the group stays one stack with this
    /// fault.
    private static func byFrameOfReference(_ group: Group) -> [Group] {
        let parts = Dictionary(grouping: group.members, by: \.header.frameOfReferenceUID)
        if parts.count > 2, 2 * parts.count > group.members.count {
            var whole = group
            whole.framesOfReference = parts.count
            whole.rest.others = [["frames of reference differ"]]
            return [whole]
        }
        return parts.map { uid, members in
            var part = group
            part.members = members.sorted(by: StackMember.isBefore)
            part.rest.frameOfReferenceUID = uid
            part.rest.orientation = part.members[0].header.plane
            return part
        }
    }

    /// Parts volumes at the same place, such as cardiac phases.
    private static func byPhase(_ group: Group) -> [Group] {
        guard let (attribute, volumes) = StackPhase.volumes(in: group.members) else { return [group] }
        return volumes.enumerated().map { number, members in
            var part = group
            part.members = members
            part.phase = StackPhase(attribute: attribute, number: number)
            // The first one keeps the key that it has before the second one has come.
            if number > 0 { part.rest.others.append([attribute, "\(number)"]) }
            return part
        }
    }

    /// The pixel spacing of most members in micrometres: a late slice with another rounding rarely changes it.
    private static func mostFrequentSpacing(_ members: [StackMember]) -> [Int] {
        [\PlaneGeometry.rowSpacing, \.columnSpacing].map { spacing in
            var counts: [Int: Int] = [:]
            for case let plane? in members.map(\.header.plane) {
                counts[Int(clamped: plane[keyPath: spacing] * 1000), default: 0] += 1
            }
            return counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? 0
        }
    }

    /// Groups frames that are like the first frame of their group.
    ///
    /// Sorting first makes the result independent of the order of arrival.
    private static func clusters(
        _ members: [StackMember], alike: (InstanceHeader, InstanceHeader) -> Bool
    ) -> [[StackMember]] {
        var clusters: [[StackMember]] = []
        for member in members.sorted(by: StackMember.isBefore) {
            if let place = clusters.firstIndex(where: { alike($0[0].header, member.header) }) {
                clusters[place].append(member)
            } else {
                clusters.append([member])
            }
        }
        return clusters
    }
}

/// One of several volumes at the same place.
struct StackPhase: Hashable {
    /// The name of the attribute that tells the volumes apart.
    let attribute: String
    /// Counts the volumes from 0, in the order of the attribute.
    let number: Int

    /// The attributes that may tell volumes at one place apart, in the order in which they are tried, each with the
    /// smallest step between two volumes: percent, ms, ms, number.
    private static let attributes: [(name: String, step: Double, value: @Sendable (InstanceHeader) -> Double?)] = [
        ("Nominal Percentage of Cardiac Phase", 0.5, { $0.cardiacPhasePercentage }),
        ("Trigger Time", 5, { $0.triggerTime }),
        ("Inversion Time", 1, { $0.inversionTime }),
        ("Acquisition Number", 1, { $0.acquisitionNumber.map(Double.init) }),
    ]

    /// Looks for volumes at the same place.
    ///
    /// An attribute that drifts within one volume does not part it: only positions that several slices have count.
    ///
    /// - Parameter members: slices of one orientation and frame of reference.
    /// - Returns: the attribute and the volumes in its order; `nil` if no two slices have one position, or if no
    ///   attribute tells them apart.
    static func volumes(in members: [StackMember]) -> (attribute: String, [[StackMember]])? {
        let sites = sites(of: members)
        guard let most = sites.map(\.count).max(), most > 1 else { return nil }
        for (name, step, value) in attributes {
            if let volumes = volumes(sites, most: most, step: step, by: value) { return (name, volumes) }
        }
        return nil
    }

    /// The slices by their position along the normal.
    private static func sites(of members: [StackMember]) -> [[StackMember]] {
        guard let first = members.first?.header.plane else { return [] }
        let placed = members.compactMap { member in
            member.header.plane.map { (along: ($0.position - first.position).dot(first.normal), member: member) }
        }.sorted { ($0.along, $1.member.header.sopInstanceUID) < ($1.along, $0.member.header.sopInstanceUID) }
        var sites: [[StackMember]] = []
        var last = -Double.infinity
        for (along, member) in placed {
            if along - last > 0.01 { sites.append([member]) } else { sites[sites.count - 1].append(member) }
            last = along
        }
        return sites
    }

    /// Parts the slices of each position by the rank of an attribute.
    ///
    /// - Returns: `nil` if a slice lacks the attribute, if fewer than half of the positions have slices of all volumes,
    ///   or if the volumes are not apart by about the same step everywhere, which is larger than the changes within a
    ///   volume.
    private static func volumes(
        _ sites: [[StackMember]], most: Int, step: Double, by value: (InstanceHeader) -> Double?
    ) -> [[StackMember]]? {
        var valued: [[(value: Double, member: StackMember)]] = []
        for site in sites {
            let values = site.compactMap { member in value(member.header).map { (value: $0, member: member) } }
            guard values.count == site.count else { return nil }
            valued.append(values.sorted { $0.value < $1.value })
        }
        let whole = valued.filter { $0.count == most }
        guard whole.count >= 2, 2 * whole.count >= sites.count else { return nil }
        let changes = (0..<most).flatMap { rank in
            zip(whole, whole.dropFirst()).map { abs($1[rank].value - $0[rank].value) }
        }.sorted()
        for rank in 1..<most {
            let steps = whole.map { $0[rank].value - $0[rank - 1].value }.sorted()
            guard steps[0] >= max(step, 0.5 * steps[steps.count / 2]), steps[0] > 2 * changes[changes.count / 2]
            else { return nil }
        }
        let centres = (0..<most).map { rank in whole.reduce(0) { $0 + $1[rank].value } / Double(whole.count) }
        var volumes = [[StackMember]](repeating: [], count: most)
        for site in valued {
            var taken: Set<Int> = []
            for (rank, slice) in site.enumerated() {
                let nearest =
                    site.count == most
                    ? rank
                    : centres.indices.min { abs(centres[$0] - slice.value) < abs(centres[$1] - slice.value) } ?? 0
                guard taken.insert(nearest).inserted else { return nil }
                volumes[nearest].append(slice.member)
            }
        }
        return volumes
    }
}
