using VllmNative.Cli.Rendering;
using VllmNative.Requests;

namespace VllmNative.Cli.Commands;

/// <summary>The lines of a chat that are not messages. What they say goes to stderr: stdout has answers only.</summary>
internal static class ChatCommands
{
    private const string Help = """
        /system TEXT  sets the system message and begins a new conversation; alone, shows it
        /reset        begins a new conversation
        /params       shows the sampling parameters
        /exit         ends the program, as Ctrl-D does
        Ctrl-C        ends the answer that is being written
        """;

    /// <summary>Runs a line that starts with a slash.</summary>
    /// <param name="line">The line, trimmed.</param>
    /// <param name="session">What it acts on.</param>
    /// <param name="exit">Whether the program is to end.</param>
    /// <returns>Whether it was a command, known or not; false: it is a message.</returns>
    internal static bool TryRun(string line, ChatSession session, out bool exit)
    {
        exit = false;
        if (!line.StartsWith('/'))
        {
            return false;
        }

        int space = line.IndexOf(' ', StringComparison.Ordinal);
        string name = space < 0 ? line : line[..space];
        string rest = space < 0 ? "" : line[(space + 1)..].Trim();
        switch (name)
        {
            case "/exit" or "/quit":
                exit = true;
                break;
            case "/help":
                Console.Error.WriteLine(Help);
                break;
            case "/reset":
                session.Reset();
                Console.Error.WriteLine("[new conversation]");
                break;
            case "/system" when rest.Length > 0:
                session.System = rest;
                Console.Error.WriteLine("[system message set, new conversation]");
                break;
            case "/system":
                Console.Error.WriteLine(session.System ?? "[no system message]");
                break;
            case "/params":
                Console.Error.WriteLine(Describe(session.Parameters));
                break;
            default:
                ErrorLine.Write($"{name} is no command; /help lists them");
                break;
        }

        return true;
    }

    private static string Describe(SamplingParams p) => string.Join(Environment.NewLine,
        $"max_tokens         {(p.MaxTokens is { } most ? $"{most}" : "to the end of the context")}",
        $"min_tokens         {p.MinTokens}",
        $"temperature        {p.Temperature}",
        $"top_p              {p.TopP}",
        $"top_k              {p.TopK}",
        $"min_p              {p.MinP}",
        $"repetition_penalty {p.RepetitionPenalty}",
        $"presence_penalty   {p.PresencePenalty}",
        $"frequency_penalty  {p.FrequencyPenalty}",
        $"seed               {(p.Seed is { } seed ? $"{seed}" : "each message its own")}",
        $"stop               {(p.Stop.Count == 0 ? "none" : string.Join(", ", p.Stop.Select(stop => $"\"{stop}\"")))}",
        $"ignore_eos         {(p.IgnoreEos ? "yes" : "no")}");
}
