namespace VllmNative.Tokenization.Models;

/// <summary>The switches of a BPE model.</summary>
/// <param name="ByteLevel">Words are encoded as bytes.</param>
/// <param name="ByteFallback">Unknown characters are written as <c>&lt;0xNN&gt;</c> tokens.</param>
/// <param name="IgnoreMerges">A word that is itself a token is taken as it is.</param>
/// <param name="FuseUnknown">Neighbouring unknown characters give one unknown token.</param>
/// <param name="UnknownId">The unknown token; -1 when there is none.</param>
internal sealed record BpeOptions(bool ByteLevel, bool ByteFallback, bool IgnoreMerges, bool FuseUnknown, int UnknownId);
