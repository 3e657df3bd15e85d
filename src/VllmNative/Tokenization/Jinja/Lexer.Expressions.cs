using System.Globalization;
using System.Text;

namespace VllmNative.Tokenization.Jinja;

/// <content>The tokens inside a tag: names, numbers, strings, operators.</content>
internal sealed partial class Lexer
{
    private static readonly string[] Operators =
        ["//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", ";"];

    private void ReadToken(ref int brackets)
    {
        char c = _source[_at];
        int start = _at;
        if (c is '\'' or '"')
        {
            Add(TokenKind.Text, ReadString(c), start);
        }
        else if (char.IsAsciiDigit(c))
        {
            ReadNumber(start);
        }
        else if (char.IsLetter(c) || c == '_')
        {
            while (_at < _source.Length && (char.IsLetterOrDigit(_source[_at]) || _source[_at] == '_'))
            {
                _at++;
            }

            Add(TokenKind.Name, _source[start.._at], start);
        }
        else
        {
            string op = Operators.FirstOrDefault(o => string.CompareOrdinal(_source, start, o, 0, o.Length) == 0)
                ?? throw Error(start, $"unexpected character '{c}'");
            brackets += op is "(" or "[" or "{" ? 1 : op is ")" or "]" or "}" ? -1 : 0;
            if (brackets < 0)
            {
                throw Error(start, $"unexpected '{op}'");
            }

            _at += op.Length;
            Add(TokenKind.Operator, op, start);
        }
    }

    private void ReadNumber(int start)
    {
        bool isFloat = false;
        while (_at < _source.Length)
        {
            char c = _source[_at];
            char next = _at + 1 < _source.Length ? _source[_at + 1] : '\0';
            if (char.IsAsciiDigit(c) || c == '_')
            {
                _at++;
            }
            else if (c == '.' && !isFloat && char.IsAsciiDigit(next))
            {
                isFloat = true;
                _at += 2;
            }
            else if (c is 'e' or 'E' && (char.IsAsciiDigit(next) || (next is '+' or '-' && _at + 2 < _source.Length && char.IsAsciiDigit(_source[_at + 2]))))
            {
                isFloat = true;
                _at += 2;
            }
            else
            {
                break;
            }
        }

        string text = _source[start.._at].Replace("_", "", StringComparison.Ordinal);
        if (!isFloat && !long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            throw Error(start, $"the number {text} is too large");
        }

        Add(isFloat ? TokenKind.Float : TokenKind.Integer, text, start);
    }

    private string ReadString(char quote)
    {
        int start = _at++;
        StringBuilder text = new();
        for (; _at < _source.Length; _at++)
        {
            char c = _source[_at];
            if (c == quote)
            {
                _at++;
                return text.ToString();
            }

            if (c == '\\' && _at + 1 < _source.Length)
            {
                _at++;
                Escape(text);
            }
            else
            {
                text.Append(c);
            }
        }

        throw Error(start, "the string is not closed");
    }

    // Python's escapes; an unknown one stays as it is written.
    private void Escape(StringBuilder text)
    {
        char c = _source[_at];
        string? simple = c switch
        {
            '\\' => "\\",
            '\'' => "'",
            '"' => "\"",
            'n' => "\n",
            'r' => "\r",
            't' => "\t",
            'b' => "\b",
            'f' => "\f",
            'a' => "\a",
            'v' => "\v",
            '0' => "\0",
            '\n' => "",
            _ => null,
        };
        if (simple is not null)
        {
            text.Append(simple);
            return;
        }

        int digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits > 0 && _at + digits < _source.Length
            && int.TryParse(_source.AsSpan(_at + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value)
            && value is >= 0 and <= 0x10FFFF)
        {
            text.Append(value is < 0x10000 ? ((char)value).ToString() : char.ConvertFromUtf32(value));
            _at += digits;
            return;
        }

        text.Append('\\').Append(c);
    }
}
