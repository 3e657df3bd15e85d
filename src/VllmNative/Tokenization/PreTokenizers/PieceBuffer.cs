namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>A text cut into pieces; each pre-tokenizer cuts the pieces further or rewrites the text.</summary>
internal sealed class PieceBuffer
{
    private List<TextRange> _next = [];

    /// <summary>The text that the pieces refer to.</summary>
    public ReadOnlyMemory<char> Text { get; private set; }

    public List<TextRange> Pieces { get; private set; } = [];

    /// <summary>Matches found in one piece; scratch of the pre-tokenizers.</summary>
    public List<TextRange> Matches { get; } = [];

    /// <summary>Whether the text stands at the beginning of the input.</summary>
    public bool AtInputStart { get; private set; }

    /// <summary>Starts over with one piece, the whole text.</summary>
    public void Reset(ReadOnlyMemory<char> text, bool atInputStart)
    {
        Text = text;
        AtInputStart = atInputStart;
        Pieces.Clear();
        if (!text.IsEmpty)
        {
            Pieces.Add(new TextRange(0, text.Length));
        }
    }

    /// <summary>The list to write the new pieces to; <see cref="Swap()"/> makes it the current one.</summary>
    public List<TextRange> BeginRewrite()
    {
        _next.Clear();
        return _next;
    }

    public void Swap() => (Pieces, _next) = (_next, Pieces);

    public void Swap(ReadOnlyMemory<char> newText)
    {
        Text = newText;
        Swap();
    }
}
