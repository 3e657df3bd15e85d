using Spectre.Console;
using VllmNative.Cli.Commands;

namespace VllmNative.Cli.Rendering;

/// <summary>The demo on a terminal: one row for each prompt, redrawn while the answers grow, then every answer whole.</summary>
internal static class DemoLiveView
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);

    internal static async Task ShowAsync(IReadOnlyList<DemoJob> jobs, Func<DemoJob, Task> run)
    {
        IAnsiConsole console = Terminals.Out;
        await console.Live(Frame(jobs, console)).AutoClear(true).Overflow(VerticalOverflow.Crop).StartAsync(async context =>
        {
            Task all = Task.WhenAll(jobs.Select(run));
            while (!all.IsCompleted)
            {
                context.UpdateTarget(Frame(jobs, console));
                await Task.WhenAny(all, Task.Delay(Interval)).ConfigureAwait(false);
            }

            await all.ConfigureAwait(false);
        }).ConfigureAwait(false);
        foreach (DemoJob job in jobs)
        {
            console.Write(Answer(job));
        }
    }

    // As tall as the terminal allows: of a long answer the newest lines are shown.
    private static Table Frame(IReadOnlyList<DemoJob> jobs, IAnsiConsole console)
    {
        const int borders = 4; // Top, header, its rule, bottom.
        const int sides = 13; // Vertical rules and padding, and the columns of numbers beside.
        int lines = Math.Max(1, ((console.Profile.Height - borders) / jobs.Count) - 1);
        int questionWidth = Math.Max(8, (console.Profile.Width - sides - 6) / 3);
        int answerWidth = Math.Max(8, console.Profile.Width - sides - 6 - questionWidth);
        Table table = new Table().RoundedBorder().BorderColor(Color.Grey).ShowRowSeparators().Expand();
        table.AddColumn(new TableColumn("prompt").Width(questionWidth));
        table.AddColumn(new TableColumn("answer").Width(answerWidth));
        table.AddColumn(new TableColumn("tokens").Width(6).RightAligned());
        foreach (DemoJob job in jobs)
        {
            bool finished = job.Latest?.Finished == true;
            table.AddRow(
                new Text(TextFit.Head(job.Question, questionWidth, lines), new Style(Color.Aqua)),
                new Text(TextFit.Tail(job.Answer, answerWidth, lines)),
                new Text($"{job.Tokens}", new Style(finished ? Color.Green : Color.Yellow)));
        }

        return table;
    }

    private static Panel Answer(DemoJob job) => new Panel(new Rows(
        new Text(job.Question, new Style(Color.Aqua)),
        new Text(TextFit.Printable(job.Answer).TrimEnd())))
    {
        Header = new PanelHeader($" {job.Number} · {job.Tokens} tokens "),
        Border = BoxBorder.Rounded,
        BorderStyle = new Style(Color.Grey),
        Expand = true,
    };
}
