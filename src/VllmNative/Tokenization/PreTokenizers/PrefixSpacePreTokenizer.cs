namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Puts a space before every piece that has none (ByteLevel with <c>add_prefix_space</c>).</summary>
internal sealed class PrefixSpacePreTokenizer : PreTokenizer
{
    public override void Apply(PieceBuffer buffer)
    {
        List<TextRange> output = buffer.BeginRewrite();
        ReadOnlySpan<char> text = buffer.Text.Span;
        char[] result = new char[text.Length + buffer.Pieces.Count];
        int at = 0;
        foreach (TextRange piece in buffer.Pieces)
        {
            int start = at;
            if (text[piece.Start] != ' ')
            {
                result[at++] = ' ';
            }

            text.Slice(piece.Start, piece.Length).CopyTo(result.AsSpan(at));
            at += piece.Length;
            output.Add(new TextRange(start, at - start));
        }

        buffer.Swap(result.AsMemory(0, at));
    }
}
