using System.Text;
using System.Text.Json;
using VllmNative.Diagnostics;
using VllmNative.Tokenization.Decoders;

namespace VllmNative.Tokenization;

/// <summary>Text to token ids and back, as tokenizer.json of a model directory says. Thread-safe.</summary>
public sealed class Tokenizer
{
    // Shorter texts encode faster than a shared cache can be asked.
    private const int MinCachedLength = 256;

    private readonly Vocabulary _vocabulary;
    private readonly TextEncoder _encoder;
    private readonly TokenDecoder _decoder;
    private readonly TokenizerConfig _config;

    // Parsed when first asked for: plain completions do not depend on it.
    private readonly Lazy<ChatTemplate?> _chatTemplate;

    private Tokenizer(TokenizerParts parts, TokenizerConfig config)
    {
        _vocabulary = parts.Vocabulary;
        _decoder = parts.Decoder;
        _config = config;
        BosTokenId = config.BosToken is { } bos ? _vocabulary.Find(bos) : null;
        EosTokenId = config.EosToken is { } eos ? _vocabulary.Find(eos) : null;
        _encoder = new TextEncoder(parts, parts.Template.With(config.AddBosToken, BosTokenId, config.AddEosToken, EosTokenId));
        _chatTemplate = new Lazy<ChatTemplate?>(() => config.ChatTemplate is { } source ? ChatTemplate.Parse(source) : null);
    }

    /// <summary>Number of tokens, added tokens included; ids run from 0 to this minus one.</summary>
    public int VocabSize => _vocabulary.Count;

    /// <summary>The token that begins a text, where tokenizer_config.json names one.</summary>
    public int? BosTokenId { get; }

    /// <summary>The token that ends a text, where tokenizer_config.json names one.</summary>
    public int? EosTokenId { get; }

    /// <summary>The model's chat template; null when it has none.</summary>
    /// <exception cref="ChatTemplateException">The model has a template that does not parse.</exception>
    public ChatTemplate? ChatTemplate => _chatTemplate.Value;

    /// <summary>Encodings of long texts seen before.</summary>
    public EncodingCache Cache { get; } = new(maxEntries: 1024, maxBytes: 32 * 1024 * 1024);

    internal TokenDecoder Decoder => _decoder;

    /// <summary>Reads tokenizer.json and, where present, tokenizer_config.json and chat_template.jinja.</summary>
    /// <exception cref="ModelFormatException">A file is missing, malformed or asks for something unsupported.</exception>
    public static Tokenizer FromDirectory(string modelDir)
    {
        ArgumentNullException.ThrowIfNull(modelDir);
        TokenizerConfig config = TokenizerConfig.Read(modelDir);
        return Load(Path.Combine(modelDir, "tokenizer.json"), config);
    }

    /// <summary>Reads a tokenizer.json alone: no chat template, no named bos and eos tokens.</summary>
    /// <exception cref="ModelFormatException">The file is missing, malformed or asks for something unsupported.</exception>
    public static Tokenizer FromFile(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return Load(path, new TokenizerConfig());
    }

    /// <summary>The token's name in the vocabulary; null for an id outside it.</summary>
    public string? IdToToken(int id) => _vocabulary.Name(id);

    /// <summary>The id of a token's name; null when there is none.</summary>
    public int? TokenToId(string token) => _vocabulary.Find(token);

    /// <summary>Whether the id is a control token.</summary>
    public bool IsSpecial(int id) => _vocabulary.IsSpecial(id);

    /// <summary>Whether the id was added to the model's vocabulary as a whole (control tokens and markers).</summary>
    public bool IsAdded(int id) => _vocabulary.IsAdded(id);

    /// <summary>Encodes a text.</summary>
    /// <param name="text">Any text; half surrogate pairs count as U+FFFD.</param>
    /// <param name="addSpecialTokens">Adds the tokens that the model wants around a text, such as bos.</param>
    /// <param name="parseSpecialTokens">Whether control tokens spelled out in the text become control tokens; false for text of strangers.</param>
    public int[] Encode(string text, bool addSpecialTokens = true, bool parseSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.Length < MinCachedLength)
        {
            return _encoder.Encode(text, addSpecialTokens, parseSpecialTokens, default);
        }

        if (Cache.Find(text, addSpecialTokens, parseSpecialTokens) is { } known)
        {
            return (int[])known.Clone();
        }

        int[] ids = _encoder.Encode(text, addSpecialTokens, parseSpecialTokens, default);
        Cache.Add(text, addSpecialTokens, parseSpecialTokens, (int[])ids.Clone());
        return ids;
    }

    /// <summary>Encodes several texts, in parallel.</summary>
    public int[][] EncodeBatch(IReadOnlyList<string> texts, bool addSpecialTokens = true, bool parseSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(texts);
        int[][] results = new int[texts.Count][];
        Parallel.For(0, texts.Count, i => results[i] = Encode(texts[i], addSpecialTokens, parseSpecialTokens));
        return results;
    }

    /// <summary>Decodes ids; bytes that are not UTF-8 become U+FFFD, ids outside the vocabulary become nothing.</summary>
    /// <param name="ids">The token ids.</param>
    /// <param name="skipSpecialTokens">Leaves control tokens out.</param>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = true)
    {
        int strip = _decoder.LeadingStrip;
        int length = 0;
        foreach (int id in ids)
        {
            length += skipSpecialTokens && _vocabulary.IsSpecial(id) ? 0 : _decoder.Bytes(id).Length;
        }

        byte[] bytes = new byte[length];
        int at = 0;
        foreach (int id in ids)
        {
            if (!(skipSpecialTokens && _vocabulary.IsSpecial(id)))
            {
                ReadOnlySpan<byte> token = _decoder.Bytes(id);
                token.CopyTo(bytes.AsSpan(at));
                at += token.Length;
            }
        }

        int start = 0;
        while (start < strip && start < length && bytes[start] == _decoder.LeadingStripByte)
        {
            start++;
        }

        return Encoding.UTF8.GetString(bytes.AsSpan(start));
    }

    /// <summary>Renders a conversation with the model's chat template.</summary>
    /// <param name="messages">The conversation, oldest first; at least one message.</param>
    /// <param name="tools">A JSON array of function definitions.</param>
    /// <param name="addGenerationPrompt">Ends with the beginning of an assistant message.</param>
    public string ApplyChatTemplate(IReadOnlyList<ChatMessage> messages, JsonElement? tools = null, bool addGenerationPrompt = true) =>
        Render(new ChatTemplateInput { Messages = messages, Tools = tools, AddGenerationPrompt = addGenerationPrompt }).Text;

    /// <summary>
    /// Renders and encodes a conversation. Control tokens come from the template alone: what messages and tools spell is text.
    /// </summary>
    /// <param name="messages">The conversation, oldest first; at least one message.</param>
    /// <param name="tools">A JSON array of function definitions.</param>
    /// <param name="addGenerationPrompt">Ends with the beginning of an assistant message.</param>
    public int[] EncodeChat(IReadOnlyList<ChatMessage> messages, JsonElement? tools = null, bool addGenerationPrompt = true) =>
        EncodeChat(new ChatTemplateInput { Messages = messages, Tools = tools, AddGenerationPrompt = addGenerationPrompt });

    /// <summary>Renders and encodes a conversation with all options of the template.</summary>
    /// <param name="input">The conversation.</param>
    /// <param name="cancellationToken">Stops a template that runs long.</param>
    public int[] EncodeChat(ChatTemplateInput input, CancellationToken cancellationToken = default)
    {
        RenderedChat rendered = Render(input, cancellationToken);
        return Encode(rendered);
    }

    /// <summary>Renders a conversation, keeping which parts came from messages and tools.</summary>
    /// <param name="input">The conversation; tokens that it leaves out are filled in.</param>
    /// <param name="cancellationToken">Stops a template that runs long.</param>
    public RenderedChat Render(ChatTemplateInput input, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (ChatTemplate is null)
        {
            throw new InvalidRequestException("messages", "the model has no chat template");
        }

        return ChatTemplate.RenderChat(
            input with
            {
                BosToken = input.BosToken ?? _config.BosToken,
                EosToken = input.EosToken ?? _config.EosToken,
                PadToken = input.PadToken ?? _config.PadToken,
                UnknownToken = input.UnknownToken ?? _config.UnknownToken,
            },
            cancellationToken);
    }

    /// <summary>Encodes a rendered conversation: control tokens are recognised outside its untrusted parts only.</summary>
    public int[] Encode(RenderedChat chat)
    {
        ArgumentNullException.ThrowIfNull(chat);
        return _encoder.Encode(chat.Text, addSpecialTokens: false, parseSpecialTokens: true, chat.UntrustedRanges.Span);
    }

    private static Tokenizer Load(string path, TokenizerConfig config)
    {
        try
        {
            return new Tokenizer(TokenizerReader.Read(path, config), config);
        }
        catch (InvalidOperationException e)
        {
            // The JSON reader finds half surrogate pairs only when a string is asked for.
            throw new ModelFormatException(path, null, "a string is not valid Unicode", e);
        }
    }
}
