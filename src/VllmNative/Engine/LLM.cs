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

    /// <inheritdoc/>
    public void Dispose() => Engine.Dispose();

    private RequestOutput[] Run(IReadOnlyList<Prompt> prompts, Func<int, SamplingParams?> parametersOf)
    {
        OutputProcessor[] processors = [.. prompts.Select((prompt, i) => Engine.Prepare(prompt, parametersOf(i)))];
        foreach (OutputProcessor processor in processors)
        {
            Engine.Submit(processor);
        }

        // Read on the pool, so that a caller's synchronization context cannot block it.
        return Task.Run(() => Task.WhenAll(processors.Select(processor => Engine.FinishAsync(processor, CancellationToken.None)))).GetAwaiter().GetResult();
    }
}
