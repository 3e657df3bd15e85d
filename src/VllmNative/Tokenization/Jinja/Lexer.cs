namespace VllmNative.Tokenization.Jinja;

/// <summary>Cuts a template into tokens, with trim_blocks and lstrip_blocks on, as chat templates expect.</summary>
internal sealed partial class Lexer
{
    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _at;
    private int _line = 1;
    private int _lineAt;

    private Lexer(string source) => _source = source;

    public static List<Token> Tokenize(string source)
    {
        source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');

        // One newline at the end of the file belongs to the file, not to the text.
        Lexer lexer = new(source.EndsWith('\n') ? source[..^1] : source);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        bool lineStarting = true;
        bool stripLeft = false;
        while (_at < _source.Length)
        {
            int tag = FindTag(_at);
            int end = tag < 0 ? _source.Length : tag;
            string data = _source[_at..end];
            int dataStart = _at;
            char kind = tag < 0 ? '\0' : _source[tag + 1];
            char control = tag >= 0 && tag + 2 < _source.Length ? _source[tag + 2] : '\0';
            bool whole = stripLeft;
            if (whole)
            {
                string stripped = data.TrimStart();
                lineStarting |= data.Length > stripped.Length && data[data.Length - stripped.Length - 1] == '\n';
                data = stripped;
            }

            if (control == '-')
            {
                data = data.TrimEnd();
            }
            else if (control != '+' && kind is '%' or '#')
            {
                data = StripIndent(data, lineStarting);
            }

            if (data.Length > 0)
            {
                Add(TokenKind.Data, data, dataStart);
            }

            _at = end;
            if (tag < 0)
            {
                break;
            }

            _at += control is '-' or '+' ? 3 : 2;
            stripLeft = kind switch
            {
                '#' => Comment(tag),
                '%' => Block(tag),
                _ => Expression(tag, TokenKind.OutputBegin, TokenKind.OutputEnd, "}}"),
            };
            lineStarting = false;
            if (kind != '{' && !stripLeft && _source[_at - 1] == '}' && _at < _source.Length && _source[_at] == '\n' && !EndedWithPlus())
            {
                _at++;
                lineStarting = true;
            }
        }

        Add(TokenKind.End, "", _source.Length);
    }

    private bool EndedWithPlus() => _at >= 3 && _source[_at - 3] == '+';

    private int FindTag(int from)
    {
        for (int i = from; i + 1 < _source.Length; i++)
        {
            i = _source.IndexOf('{', i);
            if (i < 0 || i + 1 >= _source.Length)
            {
                return -1;
            }

            if (_source[i + 1] is '{' or '%' or '#')
            {
                return i;
            }
        }

        return -1;
    }

    private static string StripIndent(string data, bool lineStarting)
    {
        int line = data.LastIndexOf('\n') + 1;
        return (line > 0 || lineStarting) && string.IsNullOrWhiteSpace(data[line..]) ? data[..line] : data;
    }

    /// <summary>Skips a comment; true when it strips the whitespace after it.</summary>
    private bool Comment(int start)
    {
        int end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0)
        {
            throw Error(start, "the comment is not closed");
        }

        _at = end + 2;
        return _source[end - 1] == '-' && end - 1 >= start + 2;
    }

    private bool Block(int start)
    {
        int probe = SkipSpace(_at);
        if (string.CompareOrdinal(_source, probe, "raw", 0, 3) == 0)
        {
            int close = SkipSpace(probe + 3);
            bool strip = close < _source.Length && _source[close] == '-';
            if (string.CompareOrdinal(_source, strip ? close + 1 : close, "%}", 0, 2) == 0)
            {
                return Raw(start, (strip ? close + 1 : close) + 2, strip);
            }
        }

        return Expression(start, TokenKind.BlockBegin, TokenKind.BlockEnd, "%}");
    }

    private bool Raw(int start, int bodyStart, bool strip)
    {
        for (int i = bodyStart; (i = _source.IndexOf("{%", i, StringComparison.Ordinal)) >= 0; i += 2)
        {
            bool stripBody = i + 2 < _source.Length && _source[i + 2] == '-';
            int name = SkipSpace(i + (stripBody ? 3 : 2));
            if (string.CompareOrdinal(_source, name, "endraw", 0, 6) != 0)
            {
                continue;
            }

            int close = SkipSpace(name + 6);
            bool stripAfter = close < _source.Length && _source[close] == '-';
            close += stripAfter ? 1 : 0;
            if (string.CompareOrdinal(_source, close, "%}", 0, 2) != 0)
            {
                continue;
            }

            string body = _source[bodyStart..i];
            body = strip ? body.TrimStart() : body.StartsWith('\n') ? body[1..] : body;
            body = stripBody ? body.TrimEnd() : StripIndent(body, lineStarting: false);
            Add(TokenKind.Data, body, bodyStart);
            _at = close + 2;
            return stripAfter;
        }

        throw Error(start, "the raw block is not closed");
    }

    /// <summary>Reads tokens up to the end of a tag; true when it strips the whitespace after it.</summary>
    private bool Expression(int start, TokenKind begin, TokenKind end, string close)
    {
        Add(begin, "", start);
        int brackets = 0;
        while (true)
        {
            _at = SkipSpace(_at);
            if (_at >= _source.Length)
            {
                throw Error(start, $"the tag is not closed by '{close}'");
            }

            int control = _source[_at] is '-' or '+' ? 1 : 0;
            if (brackets == 0 && string.CompareOrdinal(_source, _at + control, close, 0, 2) == 0)
            {
                bool strip = _source[_at] == '-';
                Add(end, "", _at);
                _at += control + 2;
                return strip;
            }

            ReadToken(ref brackets);
        }
    }

    private int SkipSpace(int at)
    {
        while (at < _source.Length && char.IsWhiteSpace(_source[at]))
        {
            at++;
        }

        return at;
    }

    private void Add(TokenKind kind, string value, int position) => _tokens.Add(new Token(kind, value, LineOf(position)));

    private int LineOf(int position)
    {
        if (position < _lineAt)
        {
            return _line;
        }

        _line += _source.AsSpan(_lineAt, position - _lineAt).Count('\n');
        _lineAt = position;
        return _line;
    }

    private ChatTemplateException Error(int position, string cause) => new(LineOf(position), cause);
}
