// SPDX-License-Identifier: Apache-2.0

/// Kontur's identification towards peers and in the files that it stores (PS3.7 D.3.3.2).
public enum Implementation {
    /// Implementation Class UID, made from a UUID (PS3.5 B.2).
    public static let classUID = "2.25.113113869798546695159296333199751311506"
    /// Implementation Version Name: at most 16 characters.
    public static let versionName = "KONTUR_0_1"
}
