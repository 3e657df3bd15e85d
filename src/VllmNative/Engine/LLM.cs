using VllmNative.Diagnostics;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Engine;

/// <summary>Batch inference: hand prompts in, get completions back, in order. For streaming use <see cref="AsyncLlmEngine"/>.</summary>
public sealed class LLM : IDisposable
{
    /// <summary>Loads a model.</summary>
    /// <param name="options">What to load and how.</param>
    public LLM(EngineOptions options) => Engine = AsyncLlmEngine.Create(options);

    /// <summary>Loads a model directory with default options, on the CPU.</summary>
    /// <param name="model">Directory of a Hugging Face checkpoint.</param>
    public LLM(string model) : this(new EngineOptions { Model = model })
    {
    }

    /// <summary>The engine underneath; it may be used at the same time.</summary>
    public AsyncLlmEngine Engine { get; }

    /// <summary>The model's tokenizer; null when the model directory has none.</summary>
    public Tokenizer? Tokenizer => Engine.Tokenizer;

    /// <summary>How full the KV cache is.</summary>
    public MemoryStats Memory => Engine.Memory;

    /// <summary>Completes one prompt.</summary>
    public RequestOutput Generate(Prompt prompt, SamplingParams? parameters = null) => Generate([prompt], parameters)[0];

    /// <summary>Completes prompts of text, batched together.</summary>
    public IReadOnlyList<RequestOutput> Generate(IEnumerable<string> prompts, SamplingParams? parameters = null)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        return Generate([.. prompts.Select(Prompt.FromText)], parameters);
    }

    /// <summary>Completes prompts, batched together; none is started unless all are valid.</summary>
    /// <param name="prompts">Text or token ids.</param>
    /// <param name="parameters">For all of them; null = the model's defaults.</param>
    /// <exception cref="InvalidRequestException">A prompt or a parameter breaks a rule.</exception>
    public IReadOnlyList<RequestOutput> Generate(IReadOnlyList<Prompt> prompts, SamplingParams? parameters = null)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        return Run(prompts, _ => parameters);
    }

    /// <summary>Completes prompts, each with parameters of its own, batched together; none is started unless all are valid.</summary>
    /// <param name="prompts">Text or token ids.</param>
    /// <param name="parameters">As many as prompts, in their order.</param>
    /// <exception cref="InvalidRequestException">A prompt or a parameter breaks a rule, or the counts differ.</exception>
    public IReadOnlyList<RequestOutput> Generate(IReadOnlyList<Prompt> prompts, IReadOnlyList<SamplingParams> parameters)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(parameters);
        return prompts.Count == parameters.Count
            ? Run(prompts, i => parameters[i])
            : throw new InvalidRequestException("parameters", $"there are {parameters.Count} sampling parameters for {prompts.Count} prompts, expected one for each");
    }

    /// <summary>Answers one conversation.</summary>
    public RequestOutput Chat(IReadOnlyList<ChatMessage> messages, SamplingParams? parameters = null) => Chat([messages], parameters)[0];

    /// <summary>Answers conversations, batched together.</summary>
    public IReadOnlyList<RequestOutput> Chat(IReadOnlyList<IReadOnlyList<ChatMessage>> conversations, SamplingParams? parameters = null)
    {
        ArgumentNullException.ThrowIfNull(conversations);
        return Run([.. conversations.Select(messages => Prompt.FromTokens(Engine.EncodeChat(messages)))], _ => parameters ?? Engine.ChatDefaults);
    }

    /// <summary>The likeliest continuations of prompts that a beam search finds, best first, batched together; none is started unless all are valid.</summary>
    /// <param name="prompts">Text or token ids.</param>
    /// <param name="parameters">For all of them.</param>
    /// <exception cref="InvalidRequestException">A prompt or a parameter breaks a rule.</exception>
    public IReadOnlyList<RequestOutput> BeamSearch(IReadOnlyList<Prompt> prompts, BeamSearchParams parameters)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        return Generate(prompts, parameters.ToSamplingParams());
    }

    /// <summary>How likely the model finds each continuation of a prompt; they are scored together.</summary>
    /// <param name="prompt">Text or token ids.</param>
    /// <param name="continuations">Text, encoded on its own and without special tokens, or token ids; not empty.</param>
    /// <exception cref="InvalidRequestException">A prompt breaks a rule, or is too long with its continuation.</exception>
    public IReadOnlyList<SequenceScore> Score(Prompt prompt, IReadOnlyList<Prompt> continuations)
    {
        ArgumentNullException.ThrowIfNull(continuations);
        int[] start = Encode(prompt, addSpecialTokens: true);
        int[][] ends = [.. continuations.Select(continuation => Encode(continuation, addSpecialTokens: false))];
        if (start.Length == 0 || ends.Any(end => end.Length == 0))
        {
            throw new InvalidRequestException(start.Length == 0 ? "prompt" : "continuations", "the text to score is empty, expected at least 1 token before and in each continuation");
        }

        return Score([.. ends.Select(end => (int[])[.. start, .. end])], start.Length);
    }

    /// <summary>e to the minus mean log-probability of a text's tokens from the second on: how well the model predicts it, 1 = perfectly.</summary>
    /// <param name="text">Text or token ids, at least 2 tokens.</param>
    /// <exception cref="InvalidRequestException">The text breaks a rule.</exception>
    public double Perplexity(Prompt text)
    {
        int[] ids = Encode(text, addSpecialTokens: true);
        return ids.Length < 2
            ? throw new InvalidRequestException("prompt", $"prompt has {ids.Length} tokens, expected at least 2 to measure a perplexity")
            : Score([ids], 1)[0].Perplexity;
    }

    /// <summary>A prompt's vector.</summary>
    public EmbeddingOutput Embed(Prompt prompt, PoolingParams? parameters = null) => Embed([prompt], parameters)[0];

    /// <summary>Vectors of prompts of text, batched together.</summary>
    public IReadOnlyList<EmbeddingOutput> Embed(IEnumerable<string> prompts, PoolingParams? parameters = null)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        return Embed([.. prompts.Select(Prompt.FromText)], parameters);
    }

    /// <summary>Vectors of prompts, batched together: hidden states behind the model's last norm, pooled. None is started unless all are valid.</summary>
    /// <param name="prompts">Text or token ids.</param>
    /// <param name="parameters">For all of them; null = the last token's, normalized.</param>
    /// <exception cref="InvalidRequestException">A prompt or a parameter breaks a rule.</exception>
    /// <exception cref="VllmException">Computing one failed; the message says how.</exception>
    public IReadOnlyList<EmbeddingOutput> Embed(IReadOnlyList<Prompt> prompts, PoolingParams? parameters = null)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        parameters ??= new PoolingParams();
        return RunAll(
            prompts.Select(prompt => Engine.PreparePooling(prompt, parameters)),
            processor => Engine.FinishPoolingAsync(processor, parameters.Normalize, CancellationToken.None));
    }

    /// <inheritdoc/>
    public void Dispose() => Engine.Dispose();

    // Scores what comes behind the first tokens of each sequence.
    private SequenceScore[] Score(int[][] sequences, int skipped)
    {
        SamplingParams parameters = new() { Temperature = 0, MaxTokens = 1, PromptLogprobs = 0, Detokenize = false };
        RequestOutput[] outputs = Run([.. sequences.Select(Prompt.FromTokens)], _ => parameters);
        foreach (RequestOutput output in outputs)
        {
            if (output.Error is { } error)
            {
                throw new VllmException("scoring failed: " + error);
            }
        }

        return [.. outputs.Select((output, i) =>
            new SequenceScore(sequences[i][skipped..], [.. output.PromptLogprobs!.Skip(skipped).Select(position => position!.Sampled.Logprob)]))];
    }

    private int[] Encode(Prompt prompt, bool addSpecialTokens)
    {
        if (prompt.TokenIds is { } ids)
        {
            return [.. ids];
        }

        Tokenizer tokenizer = Tokenizer ?? throw new InvalidRequestException("prompt", "the model has no tokenizer, expected a prompt of token ids");
        return tokenizer.Encode(prompt.Text ?? "", addSpecialTokens);
    }

    private RequestOutput[] Run(IReadOnlyList<Prompt> prompts, Func<int, SamplingParams?> parametersOf) =>
        RunAll(prompts.Select((prompt, i) => Engine.Prepare(prompt, parametersOf(i))), processor => Engine.FinishAsync(processor, CancellationToken.None));

    private T[] RunAll<T>(IEnumerable<OutputProcessor> prepared, Func<OutputProcessor, Task<T>> finish)
    {
        OutputProcessor[] processors = [.. prepared];
        foreach (OutputProcessor processor in processors)
        {
            Engine.Submit(processor);
        }

        // Read on the pool, so that a caller's synchronization context cannot block it.
        return Task.Run(() => Task.WhenAll(processors.Select(finish))).GetAwaiter().GetResult();
    }
}
