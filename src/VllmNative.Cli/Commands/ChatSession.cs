using VllmNative.Cli.Rendering;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tokenization;

namespace VllmNative.Cli.Commands;

/// <summary>A conversation and the engine that continues it.</summary>
internal sealed class ChatSession(AsyncLlmEngine engine, SamplingParams parameters, string? system)
{
    private readonly List<ChatMessage> _messages = [];
    private string? _system = system;

    /// <summary>The system message; setting it begins a new conversation.</summary>
    internal string? System
    {
        get => _system;
        set
        {
            _system = value;
            Reset();
        }
    }

    internal SamplingParams Parameters => parameters;

    /// <summary>Forgets all but the system message.</summary>
    internal void Reset() => _messages.Clear();

    /// <summary>Streams the answer to a message and remembers both; a message that failed is forgotten.</summary>
    /// <exception cref="OperationCanceledException">Cancelled; the answer is remembered as far as it came.</exception>
    internal async Task AnswerAsync(string message, CancellationToken cancellationToken)
    {
        ChatMessage question = ChatMessage.User(message);
        ChatMessage[] conversation = [.. _system is null ? [] : (ChatMessage[])[ChatMessage.System(_system)], .. _messages, question];
        RequestOutput? last = null;

        try
        {
            IAsyncEnumerable<RequestOutput> outputs = engine.ChatAsync(conversation, parameters, cancellationToken: cancellationToken);
            StatsLine.Write(await TextStream.WriteAsync(outputs, output => last = output).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            Remember(question, last);
            throw;
        }

        Remember(question, last);
    }

    private void Remember(ChatMessage question, RequestOutput? answer)
    {
        if (answer is not null)
        {
            _messages.Add(question);
            _messages.Add(ChatMessage.Assistant(answer.Text));
        }
    }
}
