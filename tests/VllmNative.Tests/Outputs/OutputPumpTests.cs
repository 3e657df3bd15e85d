using VllmNative.Outputs;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Outputs;

/// <summary>Readers are woken from a thread of their own.</summary>
public sealed class OutputPumpTests
{
    [Fact]
    public void What_was_noted_before_disposal_is_woken()
    {
        for (int i = 0; i < 300; i++)
        {
            var pump = new OutputPump();
            Mailbox[] mailboxes = [.. Enumerable.Range(0, 64).Select(_ => new Mailbox(1, -1))];
            foreach (Mailbox mailbox in mailboxes)
            {
                pump.Note(mailbox);
                pump.Flush();
            }

            pump.Dispose();
            Assert.All(mailboxes, mailbox => Assert.True(mailbox.WaitAsync(CancellationToken.None).AsTask().IsCompletedSuccessfully, $"turn {i}"));
        }
    }

    [Fact]
    public async Task Mailboxes_noted_again_and_again_are_woken_each_time()
    {
        using var pump = new OutputPump();
        const int count = 2_000;
        Mailbox[] mailboxes = [.. Enumerable.Range(0, 4).Select(_ => new Mailbox(count, -1))];
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        Task[] readers = [.. mailboxes.Select(mailbox => Task.Run(() => ReadAsync(mailbox, count, limit.Token), limit.Token))];
        for (int i = 0; i < count; i++)
        {
            foreach (Mailbox mailbox in mailboxes)
            {
                mailbox.Post(i);
                pump.Note(mailbox);
            }

            pump.Flush();
        }

        await Task.WhenAll(readers);
    }

    private static async Task ReadAsync(Mailbox mailbox, int count, CancellationToken cancellationToken)
    {
        List<int> ids = [];
        while (ids.Count < count)
        {
            await mailbox.WaitAsync(cancellationToken);
            mailbox.Drain(ids.Count, ids);
        }
    }
}
