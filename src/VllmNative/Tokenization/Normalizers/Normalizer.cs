namespace VllmNative.Tokenization.Normalizers;

/// <summary>Rewrites text before it is cut into words.</summary>
internal abstract class Normalizer
{
    /// <summary>Returns the argument itself when nothing changes.</summary>
    public abstract string Apply(string text);
}
