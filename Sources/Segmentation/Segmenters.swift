// SPDX-License-Identifier: Apache-2.0

public import Imaging
public import Inference

/// The segmenters that there are: explicit lists.
public enum Segmenters {
    /// On weights inside the executable.
    private static var recipes: [any Recipe.Type] {
        [
            PolypCompact.self,
            LeftAtriumCompact.self,
        ]
    }

    /// On weights that a site installs, or that are inside the executable until it does.
    private static var installedRecipes: [any InstalledRecipe.Type] {
        [
            PromptedSegmenter<MedSamCompactBox>.self,
            PromptedSegmenter<MedSamCompactSlices>.self,
            SamAuto.self,
            PromptedSegmenter<SamBox>.self,
            PromptedSegmenter<SamPoint>.self,
            PromptedSegmenter<MedSamBox>.self,
            PromptedSegmenter<MedSamSlices>.self,
            PromptedSegmenter<LiteMedSamBox>.self,
            PromptedSegmenter<LiteMedSamSlices>.self,
        ]
    }

    /// Every segmenter with what it needs and takes. Cheap: no weights are read.
    public static let catalogue: [SegmenterEntry] = recipes.map { $0.entry } + installedRecipes.map { $0.entry }

    /// Those whose weights are inside the executable. Cheap: no weights are read.
    public static let all: [SegmenterDescriptor] = catalogue.filter(\.isEmbedded).map(\.template)

    /// - Throws: `SegmentationError.unknownSegmenter`.
    public static func entry(_ name: String) throws(SegmentationError) -> SegmenterEntry {
        guard let entry = catalogue.first(where: { $0.name == name }) else {
            throw .unknownSegmenter(name, known: catalogue.map(\.name))
        }
        return entry
    }

    /// Every segmenter that can run with these weights, once for each file it can run on.
    ///
    /// - Throws: `SegmentationError.rule`.
    public static func installed(_ weights: [InstalledWeights]) throws(SegmentationError) -> [InstalledSegmenter] {
        var found = [InstalledSegmenter]()
        for entry in catalogue {
            if entry.isEmbedded { found.append(InstalledSegmenter(entry.template)) }
            for file in weights where file.family == entry.family { found.append(try install(entry, on: file)) }
        }
        return found
    }

    private static func install(
        _ entry: SegmenterEntry, on weights: InstalledWeights
    ) throws(SegmentationError) -> InstalledSegmenter {
        let recipe = installedRecipes.first { $0.entry.name == entry.name }
        return entry.installed(weights, version: try recipe?.version(on: weights.path) ?? entry.template.version)
    }

    /// The segmenter called `name` on the weights called `weights`, or on the only ones of its family, or on those inside
    /// the executable.
    ///
    /// - Parameters:
    ///   - weights: a name among `installed`; `nil` when there is nothing to choose.
    ///   - installed: what is there.
    /// - Throws: `SegmentationError.unknownSegmenter`, `.missingWeights` or `.rule`.
    public static func choose(
        _ name: String, weights: String? = nil, among installed: [InstalledWeights]
    ) throws(SegmentationError) -> InstalledSegmenter {
        let entry = try entry(name)
        guard let family = entry.family else {
            guard weights == nil else {
                throw .missingWeights(segmenter: name, reason: "its weights are inside the executable: name none")
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
            return try install(entry, on: chosen)
        }
        guard fitting.count <= 1 else {
            throw .missingWeights(segmenter: name, reason: "several could be used, choose one of \(names)")
        }
        guard let only = fitting.first else {
            if entry.isEmbedded { return InstalledSegmenter(entry.template) }
            let reason = "\(family.title) weights are not installed: add a checkpoint from \(family.page)"
            throw .missingWeights(segmenter: name, reason: reason)
        }
        return try install(entry, on: only)
    }

    /// Loads a segmenter whose weights are inside the executable, on the thread that will use it.
    ///
    /// - Parameters:
    ///   - name: the `name` of a descriptor in `all`.
    ///   - threads: for all inference in this process; fixed by the first call, later ones must ask for as many.
    ///     `nil`: as many as were fixed already, else as many as there are processors, at most 8.
    /// - Throws: `SegmentationError`.
    public static func make(_ name: String, threads: Int? = nil) throws -> any Segmenter {
        try make(choose(name, among: []), threads: threads)
    }

    /// Loads a segmenter on the thread that will use it, after its weights were found to have the hash of its
    /// descriptor.
    ///
    /// - Parameters:
    ///   - segmenter: of this executable's recipe and version; another one is refused.
    ///   - threads: as above.
    /// - Throws: `SegmentationError`.
    public static func make(_ segmenter: InstalledSegmenter, threads: Int? = nil) throws -> any Segmenter {
        let wanted = segmenter.descriptor
        let other = SegmentationError.otherRecipe(segmenter: wanted.name, version: wanted.version)
        _ = try entry(wanted.name)
        return try naming(wanted.name) {
            if let threads { try Compute.start(threads: threads) } else { try Compute.startWithAnyThreads() }
            if let recipe = recipes.first(where: { $0.name == wanted.name }) {
                guard recipe.description.version == wanted.version, recipe.description.weightsHash == wanted.weightsHash
                else { throw other }
                return try recipe.init(precision: Compute.precision())
            }
            guard let recipe = installedRecipes.first(where: { $0.entry.name == wanted.name }) else {
                preconditionFailure("every entry is a recipe's")
            }
            let precision = try Compute.transformerPrecision()
            if let file = segmenter.weights {
                guard try recipe.version(on: file.path) == wanted.version else { throw other }
                let weights = try open(file, hash: wanted.weightsHash)
                return try recipe.init(wanted, weights: weights, file: file, precision: precision)
            }
            guard let family = recipe.entry.family, let embedded = EmbeddedWeights(shipped: family.rawValue) else {
                throw SegmentationError.missingWeights(segmenter: wanted.name, reason: "no file was named")
            }
            guard recipe.entry.template.version == wanted.version, embedded.sha256 == wanted.weightsHash
            else { throw other }
            return try recipe.init(wanted, weights: embedded.open(), file: nil, precision: precision)
        }
    }

    /// Maps a file of weights, and reads it once to verify it.
    private static func open(_ file: WeightFile, hash: String) throws(WeightFileError) -> SafeTensors {
        let weights = try SafeTensors(path: file.path)
        let found = weights.sha256
        guard found == hash else {
            throw .unreadable(path: file.path, reason: "its SHA-256 is \(found), not \(hash)")
        }
        return weights
    }
}
