namespace VllmNative.Tokenization;

/// <summary>A token matched in the text itself, before splitting into words.</summary>
/// <param name="Id">The token id.</param>
/// <param name="Content">The text it stands for.</param>
/// <param name="Special">A control token: matched only where the caller trusts the text, hidden by default on decoding.</param>
/// <param name="Normalized">Matched in normalized text instead of raw text.</param>
/// <param name="SingleWord">Matched only between word boundaries.</param>
/// <param name="LeftStrip">Swallows whitespace before it.</param>
/// <param name="RightStrip">Swallows whitespace after it.</param>
internal sealed record AddedToken(
    int Id, string Content, bool Special, bool Normalized, bool SingleWord, bool LeftStrip, bool RightStrip);
