// SPDX-License-Identifier: Apache-2.0

public import Imaging
public import Inference

/// The catalogue of segmenters, and the functions that choose and load one.
public enum Segmenters {
    /// Every recipe: one line for each segmenter with a file of its own, and the table of prompted
    /// recipes.
    static let all: [Recipe] =
        [
            PolypCompact.recipe,
            LeftAtriumCompact.recipe,
            SamAuto.recipe,
        ] + PromptedRecipe.table.map(\.recipe) + TrackedRecipe.table.map(\.recipe)

    /// Every segmenter with the weights that it needs and the options that it takes.
    ///
    /// Segmenters whose weights are inside the executable come first. Building the list does not
    /// read weights.
    public static let catalogue: [SegmenterEntry] = {
        let entries = all.map(\.entry)
        return entries.filter(\.isEmbedded) + entries.filter { !$0.isEmbedded }
    }()

    /// The entry of the segmenter called `name`.
    ///
    /// - Throws: `SegmentationError.unknownSegmenter`.
    public static func entry(_ name: String) throws(SegmentationError) -> SegmenterEntry { try recipe(name).entry }

    private static func recipe(_ name: String) throws(SegmentationError) -> Recipe {
        guard let recipe = all.first(where: { $0.entry.name == name }) else {
            throw .unknownSegmenter(name, known: catalogue.map(\.name))
        }
        return recipe
    }

    /// Every segmenter that can run with these weights, once for each file that it can run on.
    ///
    /// - Throws: `SegmentationError.rule`.
    public static func installed(_ weights: [InstalledWeights]) throws(SegmentationError) -> [InstalledSegmenter] {
        var found = [InstalledSegmenter]()
        for entry in catalogue {
            if entry.isEmbedded { found.append(InstalledSegmenter(entry.template)) }
            for file in weights where file.family == entry.family {
                found.append(try recipe(entry.name).installed(file))
            }
        }
        return found
    }

    /// Chooses the weights of the segmenter called `name`.
    ///
    /// The choice is the installed weights called `weights`. Without that name it is the only
    /// installed weights of the family, or else the weights inside the executable.
    ///
    /// - Parameters:
    ///   - name: the segmenter's name.
    ///   - weights: the name of one of `installed`, or `nil`.
    ///   - installed: the installed weights.
    /// - Returns: the segmenter with the chosen weights.
    /// - Throws: `SegmentationError.unknownSegmenter`, `.missingWeights` or `.rule`.
    public static func choose(
        _ name: String, weights: String? = nil, among installed: [InstalledWeights]
    ) throws(SegmentationError) -> InstalledSegmenter {
        let recipe = try recipe(name)
        let entry = recipe.entry
        guard let family = entry.family else {
            guard weights == nil else {
                throw .missingWeights(
                    segmenter: name, reason: "it uses the weights inside the executable: do not name others")
            }
            return InstalledSegmenter(entry.template)
        }
        let fitting = installed.filter { $0.family == family }
        let names = fitting.map(\.name).joined(separator: ", ")
        if let weights {
            guard let chosen = fitting.first(where: { $0.name == weights }) else {
                let reason = "no \(family.title) weights named \(weights) are installed"
                throw .missingWeights(segmenter: name, reason: reason + (names.isEmpty ? "" : ", only \(names)"))
            }
            return try recipe.installed(chosen)
        }
        guard fitting.count <= 1 else {
            throw .missingWeights(segmenter: name, reason: "several could be used, choose one of \(names)")
        }
        guard let only = fitting.first else {
            if entry.isEmbedded { return InstalledSegmenter(entry.template) }
            let reason = "\(family.title) weights are not installed: add a checkpoint from \(family.page)"
            throw .missingWeights(segmenter: name, reason: reason)
        }
        return try recipe.installed(only)
    }

    /// The segmenter with the version that options give it: the recipe that they ask for is part of it.
    ///
    /// - Parameters:
    ///   - options: options that `SegmenterEntry.check` accepts.
    ///   - segmenter: a segmenter that follows its usual recipe.
    /// - Returns: the segmenter that a request with these options names.
    /// - Throws: `SegmentationError.unknownSegmenter`.
    public static func following(
        _ options: SegmenterOptions, _ segmenter: InstalledSegmenter
    ) throws(SegmentationError) -> InstalledSegmenter {
        var segmenter = segmenter
        let entry = try entry(segmenter.descriptor.name)
        segmenter.descriptor.version = entry.version(segmenter.descriptor.version, following: options.recipe)
        return segmenter
    }

    /// Loads a segmenter whose weights are inside the executable.
    ///
    /// Call this on the thread that will use it.
    ///
    /// - Parameters:
    ///   - name: the name of an embedded segmenter of the catalogue.
    ///   - threads: threads for all inference in this process. The first call fixes the number;
    ///     later calls must ask for the same. `nil` takes the fixed number, or else the number of
    ///     processors, at most 8.
    /// - Returns: the loaded segmenter.
    /// - Throws: `SegmentationError`.
    public static func make(_ name: String, threads: Int? = nil) throws -> any Segmenter {
        try make(choose(name, among: []), threads: threads)
    }

    /// Loads a segmenter, after its weights were found to have the hash of its descriptor.
    ///
    /// Call this on the thread that will use the segmenter.
    ///
    /// - Parameters:
    ///   - segmenter: a segmenter whose recipe and version are those of this executable. Others are refused.
    ///   - threads: threads for all inference in this process. The first call fixes the number;
    ///     later calls must ask for the same. `nil` takes the fixed number, or else the number of
    ///     processors, at most 8.
    /// - Returns: the loaded segmenter.
    /// - Throws: `SegmentationError`.
    public static func make(_ segmenter: InstalledSegmenter, threads: Int? = nil) throws -> any Segmenter {
        let wanted = segmenter.descriptor
        let recipe = try recipe(wanted.name)
        let precision = try naming(wanted.name) {
            if let threads { try Compute.start(threads: threads) } else { try Compute.startWithAnyThreads() }
            return try recipe.entry.family == nil ? Compute.precision() : Compute.transformerPrecision()
        }
        return try recipe.load(wanted, file: segmenter.weights, precision: precision)
    }
}
