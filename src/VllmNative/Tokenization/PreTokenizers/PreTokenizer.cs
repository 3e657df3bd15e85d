namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Cuts text into the words that the model then encodes one by one.</summary>
internal abstract class PreTokenizer
{
    public abstract void Apply(PieceBuffer buffer);
}
