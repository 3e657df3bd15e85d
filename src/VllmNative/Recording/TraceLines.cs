namespace VllmNative.Recording;

/// <summary>The lines of a stream as bytes, no line longer than a bound: a file of one endless line does not fill the memory.</summary>
internal sealed class TraceLines(Stream stream, string file)
{
    /// <summary>Enough for the hashes of a million blocks.</summary>
    internal const int MaxLineLength = 16 << 20;

    private byte[] _buffer = new byte[1 << 16];
    private int _start;
    private int _end;

    /// <summary>Number of the line that was read last; the first is 1.</summary>
    internal long Line { get; private set; }

    /// <summary>Whether that line was ended by a line feed; the last one of a recording that was cut off is not.</summary>
    internal bool Complete { get; private set; }

    /// <summary>The next line, valid until the one after it is read.</summary>
    /// <exception cref="Diagnostics.VllmException">The line is too long.</exception>
    internal bool TryRead(out ReadOnlyMemory<byte> line)
    {
        int searched = _start;
        while (true)
        {
            int at = _buffer.AsSpan(searched, _end - searched).IndexOf((byte)'\n');
            if (at >= 0)
            {
                return Take(searched + at - _start, complete: true, out line);
            }

            searched = _end - _start;
            if (searched > MaxLineLength)
            {
                throw TraceFields.Error(file, Line + 1, FormattableString.Invariant($"is longer than {MaxLineLength} bytes"));
            }

            MakeRoom();
            int read = stream.Read(_buffer, _end, _buffer.Length - _end);
            _end += read;
            if (read == 0)
            {
                line = default;
                return _end > _start && Take(_end - _start, complete: false, out line);
            }
        }
    }

    private bool Take(int length, bool complete, out ReadOnlyMemory<byte> line)
    {
        line = _buffer.AsMemory(_start, length);
        _start += length + (complete ? 1 : 0);
        Line++;
        Complete = complete;
        return true;
    }

    // What is not taken yet moves to the front.
    private void MakeRoom()
    {
        int length = _end - _start;
        if (length == _buffer.Length)
        {
            Array.Resize(ref _buffer, 2 * length);
        }
        else
        {
            _buffer.AsSpan(_start, length).CopyTo(_buffer);
        }

        (_start, _end) = (0, length);
    }
}
