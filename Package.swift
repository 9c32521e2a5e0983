// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// Every import is `internal` unless it says `public`, and a member is visible only where its module is imported.
let room: [SwiftSetting] = [
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
]

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// DCMTK is linked by name: its pkg-config file asks for a package that Debian's forgets to require.
let dcmtk: [LinkerSetting] = [
    "dcmjpls", "dcmtkcharls", "dcmjpeg", "ijg8", "ijg12", "ijg16", "dcmimage", "dcmimgle", "dcmdata",
    "oflog", "ofstd",
].map { .linkedLibrary($0) }

/// DCMTK's upper layer and TLS, for the processes that speak DICOM at a socket.
let dcmnet: [LinkerSetting] = ["dcmtls", "dcmnet", "ssl", "crypto"].map { .linkedLibrary($0) }

let package = Package(
    name: "kontur",
    products: [.executable(name: "kontur", targets: ["Kontur"])],
    dependencies: [
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2"),
    ],
    targets: [
        // The C rooms.
        .target(name: "CPlatform", linkerSettings: [.linkedLibrary("crypto"), .linkedLibrary("z")]),
        .target(name: "CDCMTK", linkerSettings: dcmtk),
        .target(name: "CAssociations", dependencies: ["CDCMTK"], linkerSettings: dcmnet + dcmtk),
        .target(
            name: "CKernels",
            // OpenMP's runtime by its full name: Debian's oneDNN brings the library, not the development link.
            linkerSettings: [.linkedLibrary("dnnl"), .linkedLibrary("openblas"), .linkedLibrary(":libgomp.so.1")]),
        .target(name: "CRE2", linkerSettings: [.linkedLibrary("re2")]),
        .target(name: "CWeights", exclude: ["files"], cSettings: [.headerSearchPath("files")]),
        .target(name: "CPNG", path: "Sources/Imaging/Raster/CPNG", linkerSettings: [.linkedLibrary("png")]),
        .target(
            name: "CJPEG", path: "Sources/Imaging/Raster/CJPEG", linkerSettings: [.linkedLibrary("jpeg")]),
        .target(
            name: "CJPEG2000", path: "Sources/DICOM/PixelData/CJPEG2000", linkerSettings: [.linkedLibrary("openjp2")]),
        // FFmpeg is loaded by the worker that has a video, and is not linked.
        .target(name: "CVideo", path: "Sources/DICOM/PixelData/CVideo"),

        // The Swift rooms, each importing only rooms above it.
        .target(name: "Platform", dependencies: ["CPlatform"], swiftSettings: room),
        .target(
            name: "Imaging", dependencies: ["CPNG", "CJPEG"], exclude: ["Raster/CPNG", "Raster/CJPEG"],
            swiftSettings: room),
        .target(
            name: "DICOM", dependencies: ["Platform", "Imaging", "CDCMTK", "CJPEG2000", "CVideo"],
            exclude: ["PixelData/CJPEG2000", "PixelData/CVideo"], swiftSettings: room),
        .target(name: "Associations", dependencies: ["Platform", "DICOM", logging], swiftSettings: room),
        .target(name: "Inference", dependencies: ["Platform", "CKernels"], swiftSettings: room),
        .target(
            name: "Segmentation", dependencies: ["Platform", "Imaging", "Inference", "CWeights"], swiftSettings: room),
        .target(name: "Routing", dependencies: ["Platform", "Imaging", "DICOM", "CRE2"], swiftSettings: room),
        .target(name: "Persistence", dependencies: ["Platform", grdb], swiftSettings: room),
        .target(name: "Supervision", dependencies: ["Platform", "Imaging", "DICOM", logging], swiftSettings: room),
        .target(
            name: "Worker", dependencies: ["Platform", "Imaging", "DICOM", "Segmentation", "Supervision"],
            swiftSettings: room),
        .target(
            name: "Pipeline",
            dependencies: [
                "Platform", "Imaging", "DICOM", "Associations", "Routing", "Persistence", "Supervision", lifecycle,
                logging,
            ],
            swiftSettings: room),
        .target(
            name: "Evaluation",
            dependencies: ["Platform", "Imaging", "DICOM", "Segmentation", "Supervision"],
            swiftSettings: room),
        .executableTarget(
            name: "Kontur",
            dependencies: [
                "Platform", "Imaging", "DICOM", "Associations", "CAssociations", "Inference", "Segmentation", "Routing",
                "Persistence", "Supervision", "Worker", "Pipeline", "Evaluation", argumentParser, yams, lifecycle,
                unixSignals, logging,
            ],
            swiftSettings: room),
        .executableTarget(
            name: "Benchmarks",
            dependencies: ["Platform", "Imaging", "DICOM", "Inference", "Segmentation", "Persistence"],
            swiftSettings: room),

        // One test target a room.
        .target(name: "TestSupport", dependencies: ["DICOM", "Imaging", subprocess], path: "Tests/TestSupport"),
        .testTarget(name: "PlatformTests", dependencies: ["Platform", "TestSupport"]),
        .testTarget(name: "ImagingTests", dependencies: ["Imaging", "TestSupport"]),
        .testTarget(
            name: "DICOMTests", dependencies: ["DICOM", "Platform", "Imaging", "CDCMTK", "TestSupport"],
            exclude: ["Fixtures", "Derived/read_segmentation.py"]),
        .testTarget(
            name: "AssociationsTests",
            dependencies: ["Associations", "CAssociations", "DICOM", "Platform", "TestSupport", logging]),
        .testTarget(
            name: "InferenceTests", dependencies: ["Inference", "Platform", "CKernels", "TestSupport"],
            exclude: ["Golden", "Weights/Fixtures", "Weights/make_fixtures.py"]),
        .testTarget(
            name: "SegmentationTests", dependencies: ["Segmentation", "Inference", "DICOM", "Imaging", "TestSupport"],
            exclude: ["Golden"]),
        .testTarget(name: "RoutingTests", dependencies: ["Routing", "DICOM", "Imaging", "CRE2", "TestSupport"]),
        .testTarget(
            name: "PersistenceTests", dependencies: ["Persistence", "Platform", grdb],
            exclude: ["Audit/make_golden_records.py"]),
        .testTarget(
            name: "SupervisionTests",
            dependencies: ["Supervision", "Platform", "DICOM", "Imaging", "TestSupport", logging]),
        .testTarget(
            name: "WorkerTests",
            dependencies: ["Worker", "Platform", "Supervision", "Segmentation", "DICOM", "Imaging", "TestSupport"]),
        .testTarget(
            name: "PipelineTests",
            dependencies: [
                "Pipeline", "Associations", "Platform", "Persistence", "Routing", "Supervision", "DICOM", "Imaging",
                "TestSupport", lifecycle,
                logging,
            ]),
        .testTarget(
            name: "EvaluationTests",
            dependencies: ["Evaluation", "DICOM", "Imaging", "Supervision", "TestSupport"],
            exclude: ["Golden", "make_golden.py"]),
        .testTarget(
            name: "KonturTests",
            dependencies: [
                "Kontur", "Platform", "DICOM", "Imaging", "Persistence", "Pipeline", "Routing", "TestSupport",
            ]),
        .testTarget(name: "EndToEndTests", dependencies: ["Kontur", "TestSupport", subprocess]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
