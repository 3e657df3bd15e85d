namespace VllmNative.Tokenization.Normalizers;

/// <summary>Several normalizers, one after the other.</summary>
internal sealed class SequenceNormalizer(Normalizer[] steps) : Normalizer
{
    public override string Apply(string text)
    {
        foreach (Normalizer step in steps)
        {
            text = step.Apply(text);
        }

        return text;
    }
}
